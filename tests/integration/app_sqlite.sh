#!/bin/bash
# An SQL database of some 300 MB in memory: built, indexed, joined, changed, checked by itself.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need sqlite3

cat >"$TMP/work.sql" <<PROGRAM
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, code INTEGER, body TEXT);
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < $(sized 75000 600000 2400000))
INSERT INTO item SELECT i, i * 7919 % 1000, i * 2654435761 % 4294967296,
	printf('%d:%x:', i, i * 2654435761 % 4294967296) || printf('%.*c', i % 100 + 150, char(97 + i % 26)) FROM n;
CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 999)
INSERT INTO kind SELECT i, 'kind ' || i FROM n;
SELECT count(*), sum(length(body)), sum(code) FROM item;
CREATE INDEX item_code ON item(code);
SELECT kind.name, count(*), sum(length(item.body)), max(item.code) FROM item JOIN kind ON kind.id = item.kind
	GROUP BY kind.id ORDER BY 3 DESC, 1 LIMIT 20;
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
SELECT count(*), sum(length(item.body)), max(item.body)
	FROM n JOIN item ON item.code = (n.i * 48271 + 1) * 2654435761 % 4294967296;
UPDATE item SET body = upper(body) WHERE id % 10 = 3;
DELETE FROM item WHERE id % 10 = 7;
SELECT count(*), sum(length(body)), sum(unicode(substr(body, 30, 1))) FROM item;
PRAGMA integrity_check;
PROGRAM

real_program sqlite3 -batch -bail -init /dev/null :memory: ".read $TMP/work.sql"
have '^ok$' "$TMP/plain.out" "integrity_check does not say ok"
