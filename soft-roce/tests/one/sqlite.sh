#!/bin/bash
# A database in memory, built, indexed, changed and checked by itself, with a quarter of it here and the
# rest over verbs, answers the same.
# limit: 120
. "$ROOT/soft-roce/tests/lib.sh"

need sqlite3
need_engine

cat >"$TMP/work.sql" <<'PROGRAM'
CREATE TABLE item(id INTEGER PRIMARY KEY, code INTEGER, body TEXT);
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 38000)
INSERT INTO item SELECT i, i * 2654435761 % 4294967296, printf('%.*c', 700, char(97 + i % 26)) || i FROM n;
CREATE INDEX item_code ON item(code);
SELECT count(*), sum(length(body)), sum(code) FROM item;
SELECT id, substr(body, 695) FROM item WHERE code < 10000000 ORDER BY code;
UPDATE item SET body = upper(body) WHERE id BETWEEN 20000 AND 20400;
PRAGMA quick_check;
PROGRAM

real_program sqlite3 -batch -bail -init /dev/null :memory: ".read $TMP/work.sql"
have '^ok$' "$TMP/plain.out" "quick_check does not say ok"
