#!/bin/bash
# gcc compiles a large generated file: the driver stays small, the compiler proper is its child.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need gcc awk

awk -v functions="$(sized 75 300 1200)" 'BEGIN {
	print "struct row { int a; long b; const char *name; double d[3]; };"
	print "const struct row rows[] = {"
	for (i = 0; i < functions * 400; i++)
		printf "{%d, %dL, \"row %d\", {%d.5, %d, .25}},\n", i, i * 31, i % 5000, i, i % 7
	print "};"
	for (i = 0; i < functions; i++) {
		printf "long f%d(long a, long b)\n{\n\tlong s = a * %d;\n", i, i + 3
		printf "\tfor (long k = 0; k < b; k++) {\n\t\tif ((a ^ k) & %d)\n", i % 61 + 1
		printf "\t\t\ts += rows[k %% %d].b * k - %d;\n\t\telse\n\t\t\ts ^= a << (k & 15);\n", i + 5, i
		printf "\t\tswitch (s & 7) {\n\t\tcase 1: s += %d; break;\n", i
		printf "\t\tcase 3: s -= rows[%d].a; break;\n\t\tdefault: s++;\n\t\t}\n\t}\n\treturn s%s;\n}\n",
			i, i ? " + f" (i - 1) "(b, a & 3)" : ""
	}
}' >"$TMP/input.c"

RESULT=$TMP/input.o
real_program gcc -O1 -c "$TMP/input.c" -o "$RESULT"
