#!/bin/sh
# Alters the stored state in three ways, each of which the harness must name: one value changed, one history row copied,
# and the oldest write that was never overwritten removed without a trace.
set -eu

psql -X -q -v ON_ERROR_STOP=1 "$GEODRILL_EAST_SALES_SQL_URL" <<'SQL'
BEGIN;

UPDATE geodrill_data
   SET value = 'altered'
 WHERE key = (SELECT max(key) FROM geodrill_data);

INSERT INTO geodrill_history
SELECT token, key, prev FROM geodrill_history ORDER BY token DESC LIMIT 1;

CREATE TEMPORARY TABLE removed ON COMMIT DROP AS
SELECT d.key
  FROM geodrill_data d JOIN geodrill_history h USING (key)
 WHERE d.object_key IS NULL AND d.value <> 'altered'
 GROUP BY d.key
HAVING count(*) = 1
 ORDER BY min(split_part(h.token, '-', 3))
 LIMIT 1;
DELETE FROM geodrill_history WHERE key IN (SELECT key FROM removed);
DELETE FROM geodrill_data WHERE key IN (SELECT key FROM removed);

COMMIT;
SQL
