/** Every limit of the daemon, in one place. Units stand last in a name. */

export const REPOSITORY_NAME_LENGTH_MAX = 100;
export const LAYER_NAME_LENGTH_MAX = 200;
export const LAYER_NAME_PART_LENGTH_MAX = 100;
export const LAYER_NAME_PARTS_MAX = 8;
export const REF_NAME_BYTES_MAX = 1_000;
/** Longest path of a file in a layer. */
export const PATH_BYTES_MAX = 4_096;

/** Longest path of a Unix socket (sun_path on Linux, without the closing NUL). */
export const SOCKET_PATH_BYTES_MAX = 107;

/** Largest JSON body. Larger content comes through `PUT .../blobs`. */
export const REQUEST_BODY_BYTES_MAX = 16 * 1024 * 1024;
/** Deepest nesting of a JSON body. */
export const REQUEST_JSON_DEPTH_MAX = 64;
/** A body must be complete within this time. */
export const REQUEST_BODY_MS_MAX = 30_000;
/** Largest blob uploaded through `PUT .../blobs`. */
export const BLOB_BYTES_MAX = 1024 * 1024 * 1024;
export const OPERATIONS_PER_REQUEST_MAX = 20_000;
export const OPERATIONS_PER_TRANSACTION_MAX = 200_000;
/** Staged inline content of one open transaction, in memory. */
export const STAGED_BYTES_PER_TRANSACTION_MAX = 256 * 1024 * 1024;
/** Refs of one transaction in one repository: hard links of one owner file (ext4 has 65,000). */
export const REFS_PER_TRANSACTION_MAX = 30_000;
export const LOCKS_PER_TRANSACTION_MAX = 10_000;
export const SAVEPOINTS_PER_TRANSACTION_MAX = 100;
export const OPEN_TRANSACTIONS_MAX = 20_000;
export const MESSAGE_BYTES_MAX = 64 * 1024;
export const AUTHOR_FIELD_BYTES_MAX = 1_024;
export const LABELS_MAX = 64;
export const LABEL_BYTES_MAX = 1_024;
export const IDEMPOTENCY_KEY_LENGTH_MAX = 255;
export const REQUEST_ID_LENGTH_MAX = 1_024;

export const LEASE_MS_DEFAULT = 30_000;
export const LEASE_MS_MIN = 100;
export const LEASE_MS_MAX = 86_400_000;
export const LOCK_TIMEOUT_MS_DEFAULT = 5_000;
export const LOCK_TIMEOUT_MS_MAX = 3_600_000;
export const PREPARE_TIMEOUT_MS_DEFAULT = 10_000;
export const PREPARE_TIMEOUT_MS_MAX = 3_600_000;
export const WAIT_TIMEOUT_MS_DEFAULT = 30_000;
export const WAIT_TIMEOUT_MS_MAX = 600_000;
export const DRAIN_MS_MAX = 10_000;
export const IDEMPOTENCY_KEY_MS_KEPT = 24 * 3_600_000;

export const PAGE_LIMIT_DEFAULT = 100;
export const PAGE_LIMIT_MAX = 1_000;
export const EVENT_SUBSCRIBERS_MAX = 1_000;
/**
 * Events that wait for one slow subscriber before it is told `overflow` and closed: room for one
 * of each ref of the largest transaction. They are shared between subscribers.
 */
export const EVENT_QUEUE_MAX = 32_768;
/** Events kept for `after=CURSOR`. */
export const EVENTS_KEPT_MAX = 16_384;

/** Above either of these a transaction's objects become a pack of its own, not part of its record. */
export const RECORDED_OBJECTS_PER_TRANSACTION_MAX = 256;
export const RECORDED_BYTES_PER_TRANSACTION_MAX = 1024 * 1024;

/** Transactions of one commit group. */
export const GROUP_TRANSACTIONS_MAX = 256;

export const LOG_SEGMENT_BYTES = 16 * 1024 * 1024;
/** One record's payload. A transaction's large objects are packed, so records stay small. */
export const LOG_RECORD_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes of log after which a checkpoint is made: bounds the work of recovery. */
export const CHECKPOINT_BYTES = 8 * 1024 * 1024;
/** Kept free in the log for `applied` and `ended` records, and for checkpoints that make room. */
export const LOG_RESERVE_BYTES = 1024 * 1024;
/** Fencing tokens are reserved in ranges of this size by one forced record. */
export const FENCING_TOKENS_RESERVED = 1_000;

/** Packs above this size are read through `git cat-file --batch`. */
export const PACK_IN_MEMORY_BYTES_MAX = 8 * 1024 * 1024;
/** Alternates of alternates that are followed; git follows as many. */
export const ALTERNATES_DEPTH_MAX = 5;
/**
 * What an entry of a cache of objects costs besides its content: its key, the map's slot, the
 * typed arrays' own objects (measured: 550 bytes of V8's heap for a tree of one file). A bound
 * on the contents alone would keep some hundred thousand tiny trees.
 */
export const CACHE_ENTRY_BYTES = 600;
/** Objects read from kept packs, in memory per repository. */
export const OBJECT_CACHE_BYTES_MAX = 8 * 1024 * 1024;
/** Parsed trees kept per repository. */
export const TREE_CACHE_BYTES_MAX = 16 * 1024 * 1024;
/** Contents of blobs kept per repository, of each at most, and sizes of blobs. */
export const BLOB_CACHE_BYTES_MAX = 8 * 1024 * 1024;
export const CACHED_BLOB_BYTES_MAX = 1024 * 1024;
export const BLOB_SIZES_MAX = 16_384;
/** Root trees of commits kept per repository. */
export const ROOT_CACHE_ENTRIES_MAX = 16_384;
/** Tips of layers and branches that a quick health check reads. */
export const HEALTH_TIPS_MAX = 1_000;
/** A foreign lock or temporary file older than this is worth a finding. */
export const STALE_FILE_MS = 600_000;

/** Largest structured file (JSON, YAML, TOML, INI) that is patched, merged by key or composed. */
export const STRUCTURED_BYTES_MAX = 1024 * 1024;
/** Layers of one stack or view. */
export const STACK_LAYERS_MAX = 64;
export const MERGE_RULES_MAX = 100;
export const GLOB_LENGTH_MAX = 1_000;
/** Deepest nesting of a structured file. */
export const STRUCTURED_DEPTH_MAX = 100;
/** Pairs of same lines that a three-way merge of text compares: what it costs. */
export const TEXT_MERGE_PAIRS_MAX = 2_000_000;
/** Keys and items of one, with everything that YAML's aliases stand for. */
export const STRUCTURED_NODES_MAX = 200_000;

export const SAGA_STEPS_MAX = 100;
export const SAGA_SERVICES_MAX = 100;
/** A definition, a saga's input or a step's output, as JSON. */
export const SAGA_DOCUMENT_BYTES_MAX = 1024 * 1024;
export const SAGA_EXPRESSION_LENGTH_MAX = 4_096;
/** One evaluation of an expression; sequences and recursion within it. */
export const SAGA_EXPRESSION_MS_MAX = 250;
export const SAGA_EXPRESSION_SEQUENCE_MAX = 100_000;
/** Bytes of JSON that a value within an expression may be larger than what it began with. */
export const SAGA_EXPRESSION_VALUE_MAX = 4 * 1024 * 1024;
export const SAGA_EXPRESSION_DEPTH_MAX = 200;
export const SAGA_STEP_TIMEOUT_MS_MAX = 7 * 24 * 3_600_000;
export const SAGA_RETRIES_MAX = 1_000;
export const SAGA_BACKOFF_MS_DEFAULT = 1_000;
export const SAGA_BACKOFF_MS_MAX_DEFAULT = 60_000;
export const SAGA_REASON_LENGTH_MAX = 1_000;
/** Steps that are called at once; further ones wait for a place. */
export const SAGA_CALLS_MAX = 256;
/** A daemon that shares an event store has its sagas this long after its last sign of life. */
export const SAGA_LEASE_MS = 6_000;
/** Fits with daemon and transaction into the 200 bytes of a prepared transaction's name. */
export const PARTICIPANT_NAME_LENGTH_MAX = 64;
export const PARTICIPANTS_MAX = 64;
/** Payloads for HTTP participants of one transaction, as JSON: they stand in the log record. */
export const PAYLOAD_BYTES_MAX = 1024 * 1024;
export const STATEMENTS_PER_TRANSACTION_MAX = 10_000;
/** What an HTTP participant may answer. */
export const PARTICIPANT_ANSWER_BYTES_MAX = 64 * 1024;
/** One telling of a decision to a participant; it is told again. */
export const TELL_TIMEOUT_MS = 5_000;
/** How long a commit's answer waits for acknowledgements before it is 202. */
export const ACKNOWLEDGEMENT_WAIT_MS = 1_000;
export const TELL_AGAIN_MS_MIN = 50;
export const TELL_AGAIN_MS_MAX = 15_000;
/** Between two looks for prepared transactions of ours that nobody owns. */
export const ORPHAN_SCAN_MS = 30_000;
/** Connections to one PostgreSQL that prepare; as many again wait for none of them to commit. */
export const POSTGRES_CONNECTIONS_MAX = 8;
/** Why a participant refused, as it is shown and kept. */
export const REASON_LENGTH_MAX = 500;
