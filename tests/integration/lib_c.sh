# shellcheck shell=bash
#
# A large file for a C compiler. Sources lib.sh.

. "$ROOT/tests/integration/lib.sh"

# generate_c FUNCTIONS: prints one with so many, and a table of 400 rows for each.
generate_c() {
	awk -v functions="$1" 'BEGIN {
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
	}'
}
