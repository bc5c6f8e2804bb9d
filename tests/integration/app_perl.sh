#!/bin/bash
# Perl's hashes, arrays and strings.
# limit: 420
. "$ROOT/tests/integration/lib.sh"

need perl

cat >"$TMP/work.pl" <<'PROGRAM'
use strict;
use warnings;
use integer;
use Digest::MD5;

my ($count, $words) = @ARGV;
my $seed = 1;

sub number {
	$seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
	return $seed >> 3;
}

my (%table, @rows);
for my $i (0 .. $count - 1) {
	my $key = sprintf("%x-%d", number(), $i);
	$table{$key} = [$i, $key x $words, number()];
	push @rows, $key;
}
my $md5 = Digest::MD5->new;
$md5->add($table{$_}[1]) for @rows;
print "in order ", $md5->hexdigest, "\n";
for (1 .. $count / 20) {
	my $row = $table{$rows[number() % $count]};
	$row->[2] += number();
	$md5->add($row->[1]);
}
print "picked ", $md5->hexdigest, "\n";
my @sorted = sort { $a cmp $b } @rows[map { $_ * 20 } 0 .. $count / 20 - 1];
delete $table{$_} for @sorted;
for (my $i = 1; $i < $count; $i += 20) {
	$md5->add(join ' ', @{$table{$rows[$i]}});
}
my $text = join ',', @sorted, @rows;
print "left ", scalar(keys %table), ' ', length($text), ' ', $md5->add($text)->hexdigest, "\n";
PROGRAM

real_program env PERL_HASH_SEED=1 perl "$TMP/work.pl" "$(sized 7500 30000 120000)" "$(sized 400 60 60)"
