# Tests and benchmarks on Soft-RoCE: on a host that cannot load rdma_rxe in a virtual machine, which is
# emulated where KVM does not work. See soft-roce/README.md.

.PHONY: deps-rxe check-rxe check-rxe-quick bench-rxe bench-rxe-quick
deps-rxe:
	@scripts/install-deps.sh rxe || echo 'what cannot run without these is counted as skipped'

check-rxe: deps-rxe all $(CONTRACT) $(HELPERS) ## soft-roce/ itself, and all tests on it, on two kernels: hours
	@soft-roce/check --build $(O)

check-rxe-quick: deps-rxe all $(CONTRACT) $(HELPERS) ## the most telling of them, in a quarter of an hour
	@soft-roce/check --build $(O) --quick

bench-rxe: deps-rxe all $(BENCH) ## libpager over verbs in two guests, next to swap over NBD and tcp
	@soft-roce/bench --build $(O)

bench-rxe-quick: deps-rxe all $(BENCH) ## the two bounds of that only, measured once
	@soft-roce/bench --build $(O) --quick
