/*
 * libibverbs and librdmacm, loaded when they are first needed: libpager.so is not linked with them,
 * so that programs start without them, and so that they can be an instance of our own. They come
 * into a namespace of their own (dlmopen(3)), because
 *
 *  - librdmacm keeps open devices for the whole process, as numbers of descriptors, and the
 * engine's threads have another table of descriptors than a program that may use the same library;
 *  - in a forked child that instance, its descriptors and its memory are useless; there the
 *    libraries are loaded once more. The C library allows for some 15 generations.
 *  - the program's malloc stays out of it (verbs_memory.h).
 *
 * Their errno is not ours: it is the one of the C library of that namespace.
 */
#ifndef COMMON_TRANSPORT_VERBS_LIB_H
#define COMMON_TRANSPORT_VERBS_LIB_H

#include "common/base/compiler.h"

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

/* The member and the function. Members have names of their own: some functions are macros, too. */
#define VERBS_LIB_FUNCTIONS(X)                               \
	X(get_device_list, ibv_get_device_list)              \
	X(free_device_list, ibv_free_device_list)            \
	X(open_device, ibv_open_device)                      \
	X(close_device, ibv_close_device)                    \
	X(query_device, ibv_query_device)                    \
	X(query_port, ibv_query_port)                        \
	X(get_async_event, ibv_get_async_event)              \
	X(ack_async_event, ibv_ack_async_event)              \
	X(alloc_pd, ibv_alloc_pd)                            \
	X(dealloc_pd, ibv_dealloc_pd)                        \
	X(reg_mr, ibv_reg_mr)                                \
	X(dereg_mr, ibv_dereg_mr)                            \
	X(create_comp_channel, ibv_create_comp_channel)      \
	X(destroy_comp_channel, ibv_destroy_comp_channel)    \
	X(create_cq, ibv_create_cq)                          \
	X(destroy_cq, ibv_destroy_cq)                        \
	X(get_cq_event, ibv_get_cq_event)                    \
	X(ack_cq_events, ibv_ack_cq_events)                  \
	X(create_qp, ibv_create_qp)                          \
	X(modify_qp, ibv_modify_qp)                          \
	X(query_qp, ibv_query_qp)                            \
	X(destroy_qp, ibv_destroy_qp)                        \
	X(create_event_channel, rdma_create_event_channel)   \
	X(destroy_event_channel, rdma_destroy_event_channel) \
	X(create_id, rdma_create_id)                         \
	X(destroy_id, rdma_destroy_id)                       \
	X(bind_addr, rdma_bind_addr)                         \
	X(listen, rdma_listen)                               \
	X(get_src_port, rdma_get_src_port)                   \
	X(resolve_addr, rdma_resolve_addr)                   \
	X(resolve_route, rdma_resolve_route)                 \
	X(init_qp_attr, rdma_init_qp_attr)                   \
	X(connect, rdma_connect)                             \
	X(establish, rdma_establish)                         \
	X(accept, rdma_accept)                               \
	X(reject, rdma_reject)                               \
	X(disconnect, rdma_disconnect)                       \
	X(get_cm_event, rdma_get_cm_event)                   \
	X(ack_cm_event, rdma_ack_cm_event)

struct verbs_lib {
#define VERBS_LIB_MEMBER(member, function) __typeof__(function) *(member);
	VERBS_LIB_FUNCTIONS(VERBS_LIB_MEMBER)
#undef VERBS_LIB_MEMBER
	int *(*errno_location)(void);
};

/*
 * The libraries, for the rest of the life of the process; loads them, and the drivers of the
 * devices that there are, if need be. -ENODEV without libraries or devices, -ENOMEM; explained. Any
 * thread, but in a forked child not two at once the first time.
 */
int verbs_lib_load(const struct verbs_lib **out) MUST_CHECK;

/* The negative errno of a function that has just returned -1 or NULL. */
int verbs_lib_error(const struct verbs_lib *lib) MUST_CHECK;

#endif
