# Tests and benchmarks on Soft-RoCE: on a host that cannot load rdma_rxe in a virtual machine, which is
# emulated where KVM does not work. See soft-roce/README.md.

.PHONY: deps-rxe check-rxe bench-rxe
deps-rxe:
	@scripts/install-deps.sh rxe || echo 'what cannot run without these is counted as skipped'

check-rxe: deps-rxe all $(CONTRACT) $(HELPERS) ## soft-roce/ itself, and the tests on it, on two kernels
	@soft-roce/check --build $(O)

bench-rxe: deps-rxe all $(BENCH) ## libpager over verbs in two guests, next to swap over NBD and tcp
	@soft-roce/bench --build $(O)
