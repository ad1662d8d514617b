# shellcheck shell=sh
# layerd for shell scripts: source this file. Needs curl and jq, and nothing else of layerd
# but a daemon. POSIX sh.
#
#   . /path/to/scripts/layerd.sh
#   layerd_begin 'raise the timeout'            opens a transaction, sets LAYERD_TRANSACTION
#   layerd_create_layer app team/base
#   layerd_put app team/base settings.json <settings.json
#   layerd_rm app team/base old.json
#   layerd_cat app team/base settings.json      as the open transaction sees it, else as git does
#   layerd_commit                               or layerd_rollback
#
#   layerd_transact MESSAGE FUNCTION [ARG...]   all of it; done again where others got in the way
#   layerd_call METHOD PATH [JSON]              any call of the API; prints the answer's body
#
# Every function returns 0, or the exit code that the `layerd` command would end with (1 no,
# 64 usage, 69 no daemon, 70 internal, 75 try again, 77 permission) after saying why on standard
# error; the problem's code then stands in LAYERD_PROBLEM. Data goes to standard output.
#
# S1. A commit is sent once. Where its answer is lost (69), `layerd_call GET
#     /v1/transactions/$id` says what happened.
# S2. Nothing is evaluated: every value reaches JSON through jq and URLs through @uri.

LAYERD_PROBLEM=
# How often layerd_transact tries at most.
: "${LAYERD_ATTEMPTS:=5}"

# The path of the socket, by the rule of the daemon.
layerd_socket() {
  _layerd_find_socket
  printf '%s\n' "$_layerd_at"
}

# Into a variable: a subshell a call would cost as much as the rest of this library.
_layerd_find_socket() {
  if [ -n "${LAYERD_SOCKET:-}" ]; then
    _layerd_at=$LAYERD_SOCKET
  elif [ -n "${XDG_RUNTIME_DIR:-}" ]; then
    _layerd_at=$XDG_RUNTIME_DIR/layerd/layerd.sock
  else
    _layerd_at=/tmp/layerd-$(id -u)/layerd.sock
  fi
}

# METHOD PATH [JSON]
layerd_call() {
  if [ $# -gt 2 ]; then
    _layerd_send "$1" "$2" -H 'Content-Type: application/json' --data-binary "$3"
  else
    _layerd_send "$1" "$2"
  fi
}

# METHOD PATH [CURL-ARGUMENT...]: prints the body of an answer below 400.
_layerd_send() {
  LAYERD_PROBLEM=
  _layerd_method=$1 _layerd_path=$2
  shift 2
  _layerd_find_socket
  if ! _layerd_reply=$(curl -sS --unix-socket "$_layerd_at" -X "$_layerd_method" \
    -w '\n%{http_code}' "$@" "http://layerd$_layerd_path"); then
    echo "layerd: no daemon answers at $_layerd_at: \`layerd start\` starts one" >&2
    return 69
  fi
  _layerd_status=${_layerd_reply##*"
"}
  _layerd_reply=${_layerd_reply%"
"*}
  if [ "$_layerd_status" -lt 400 ]; then
    printf '%s\n' "$_layerd_reply"
    return 0
  fi
  _layerd_refused "$_layerd_reply"
}

# Says what a problem document says; returns its exit code.
_layerd_refused() {
  _layerd_said=$(printf '%s' "$1" | jq -r '"\(.code) \(.retryable) \(.code): \(.detail)",
    (.conflicts // [] | .[] | "  \(.repository) \(.ref): expected \(.expected), found \(.actual)"),
    (.holders // [] | .[] | "  held \(.mode) by \(.transaction_id) since \(.since)")') || {
    echo "layerd: the answer is no problem document: $1" >&2
    return 70
  }
  LAYERD_PROBLEM=${_layerd_said%% *}
  _layerd_said=${_layerd_said#* }
  echo "layerd: ${_layerd_said#* }" >&2
  case $LAYERD_PROBLEM in
    invalid_request | unsupported_media_type | payload_too_large) return 64 ;;
    permission_denied) return 77 ;;
    internal | git_error | io_error) return 70 ;;
    write_conflict | transaction_aborted) return 1 ;;
  esac
  case $_layerd_said in
    true\ *) return 75 ;;
    *) return 1 ;;
  esac
}

_layerd_open() {
  if [ -z "${LAYERD_TRANSACTION:-}" ]; then
    echo 'layerd: no transaction is open: call layerd_begin first' >&2
    return 64
  fi
}

# [MESSAGE [LEASE_MS]]
layerd_begin() {
  _layerd_body=$(jq -nc --arg message "${1:-}" --argjson lease "${2:-600000}" \
    '{lease_ms: $lease} + if $message == "" then {} else {message: $message} end') || return 64
  # Not in subshells here and below: the problem's code has to come back.
  layerd_call POST /v1/transactions "$_layerd_body" >/dev/null || return
  # Starting jq costs more than all else here, and an id needs no unescaping.
  LAYERD_TRANSACTION=${_layerd_reply#*'"id":"'}
  LAYERD_TRANSACTION=${LAYERD_TRANSACTION%%'"'*}
  if [ ${#LAYERD_TRANSACTION} -ne 26 ]; then
    LAYERD_TRANSACTION=$(jq -nr --argjson reply "$_layerd_reply" '$reply.transaction.id')
  fi
  export LAYERD_TRANSACTION
}

# JSON of one operation
layerd_stage() {
  _layerd_open || return
  layerd_call POST "/v1/transactions/$LAYERD_TRANSACTION/operations" "{\"operations\":[$1]}" \
    >/dev/null
}

# REPOSITORY LAYER
layerd_create_layer() {
  layerd_stage "$(jq -nc --arg r "$1" --arg l "$2" '{op: "create_layer", repository: $r, layer: $l}')"
}

# REPOSITORY LAYER PATH [MODE], content on standard input, any bytes
layerd_put() {
  _layerd_open || return
  _layerd_send PUT "/v1/transactions/$LAYERD_TRANSACTION/blobs" \
    -H 'Content-Type: application/octet-stream' --data-binary @- >/dev/null || return
  layerd_stage "$(jq -nc --argjson blob "$_layerd_reply" --arg r "$1" --arg l "$2" --arg p "$3" \
    --arg m "${4:-100644}" \
    '{op: "put_file", repository: $r, layer: $l, path: $p, mode: $m, oid: $blob.oid}')"
}

# REPOSITORY LAYER PATH
layerd_rm() {
  layerd_stage "$(jq -nc --arg r "$1" --arg l "$2" --arg p "$3" \
    '{op: "delete_file", repository: $r, layer: $l, path: $p}')"
}

# REPOSITORY LAYER PATH: the bytes of a text file. (A NUL does not survive shell variables;
# for other bytes call curl itself with Accept: application/octet-stream.)
layerd_cat() {
  _layerd_query=$(jq -rn --arg r "$1" --arg l "$2" --arg p "$3" --arg t "${LAYERD_TRANSACTION:-}" \
    '"/v1/repositories/\($r | @uri)/file?layer=\($l | @uri)&path=\($p | @uri)" +
      if $t == "" then "" else "&transaction=\($t)" end') || return 70
  layerd_call GET "$_layerd_query" >/dev/null || return
  printf '%s' "$_layerd_reply" | jq -j '.content // (.content_base64 | @base64d)'
}

layerd_commit() {
  _layerd_open || return
  _layerd_end commit
}

layerd_rollback() {
  _layerd_open || return
  _layerd_end rollback
}

# Forgets the transaction, but where the daemon left it open to try again.
_layerd_end() {
  _layerd_code=0
  _layerd_send POST "/v1/transactions/$LAYERD_TRANSACTION/$1" >/dev/null || _layerd_code=$?
  case $LAYERD_PROBLEM in
    lock_timeout | repository_locked | no_space) ;;
    *) if [ "$_layerd_code" -ne 69 ]; then unset LAYERD_TRANSACTION; fi ;;
  esac
  return "$_layerd_code"
}

# MESSAGE FUNCTION [ARG...]: the function stages; 0 commits, anything else rolls back and is
# returned. It is called again after a serialization failure, so it must be safe to repeat.
layerd_transact() {
  _layerd_message=$1
  shift
  _layerd_attempt=1
  while :; do
    layerd_begin "$_layerd_message" 30000 || return
    _layerd_result=0
    "$@" || _layerd_result=$?
    if [ "$_layerd_result" -eq 0 ]; then
      layerd_commit || _layerd_result=$?
      [ "$_layerd_result" -eq 0 ] && return 0
    fi
    _layerd_why=$LAYERD_PROBLEM
    if [ -n "${LAYERD_TRANSACTION:-}" ]; then
      layerd_rollback 2>/dev/null || unset LAYERD_TRANSACTION
    fi
    LAYERD_PROBLEM=$_layerd_why
    case $_layerd_why:$_layerd_result in
      write_conflict:1 | *:75) ;;
      *) return "$_layerd_result" ;;
    esac
    [ "$_layerd_attempt" -lt "$LAYERD_ATTEMPTS" ] || return "$_layerd_result"
    _layerd_attempt=$((_layerd_attempt + 1))
    echo "layerd: attempt $_layerd_attempt of $LAYERD_ATTEMPTS" >&2
    sleep 1
  done
}
