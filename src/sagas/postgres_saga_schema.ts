/** Tables of the shared event store. Ids and times compare as bytes, whatever the database's locale. */
export const SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS layerd_sagas;
  CREATE TABLE IF NOT EXISTS layerd_sagas.owners (
    token bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alive_until timestamptz NOT NULL
  );
  CREATE TABLE IF NOT EXISTS layerd_sagas.definitions (
    name text NOT NULL,
    version integer NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (name, version)
  );
  CREATE TABLE IF NOT EXISTS layerd_sagas.sagas (
    id text COLLATE "C" PRIMARY KEY,
    definition text NOT NULL,
    tenant_id text,
    state text NOT NULL,
    condition text,
    created_at text COLLATE "C" NOT NULL,
    sequence integer NOT NULL,
    owner bigint NOT NULL
  );
  CREATE INDEX IF NOT EXISTS sagas_state ON layerd_sagas.sagas (state, id);
  CREATE INDEX IF NOT EXISTS sagas_definition ON layerd_sagas.sagas (definition, id);
  CREATE INDEX IF NOT EXISTS sagas_tenant ON layerd_sagas.sagas (tenant_id, id);
  CREATE TABLE IF NOT EXISTS layerd_sagas.events (
    saga_id text COLLATE "C" NOT NULL,
    sequence integer NOT NULL,
    at text NOT NULL,
    fact text NOT NULL,
    PRIMARY KEY (saga_id, sequence)
  );
  CREATE TABLE IF NOT EXISTS layerd_sagas.keys (
    key text PRIMARY KEY,
    request_hash text NOT NULL,
    saga_id text NOT NULL
  );
`;
