/* SPDX-License-Identifier: Apache-2.0
 *
 * A bare byte ring in shared memory between two processes: the least that a call between two Python processes can cost.
 * One writer and one reader, no records, no references, no scheduling. It exists only to be compared against.
 *
 * Guarantees: messages arrive whole and in order. Wait: a reader of an empty ring spins, or, in a parked ring, sleeps on
 * a futex; a writer of a full ring spins. Not handled: death of a peer, messages larger than half of the ring.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_LINE 64
#define RING_NAME "shoal.benchmarks.ring"

/* Invariant: x_tail - x_head == bytes in the ring <= capacity. Both only grow; positions are taken modulo capacity. */
typedef struct ring {
  _Alignas(CACHE_LINE) _Atomic uint64_t x_tail; /* written by the writer */
  _Atomic uint32_t x_bell;                      /* futex: bumped after each message while the reader is parked */
  _Alignas(CACHE_LINE) _Atomic uint64_t x_head; /* written by the reader */
  _Atomic uint32_t x_parked;                    /* 1: the reader sleeps or is about to */
  _Alignas(CACHE_LINE) uint64_t capacity;       /* power of two */
  uint32_t parks;                               /* 1: an idle reader parks at once, 0: it spins */
  _Alignas(CACHE_LINE) unsigned char bytes[];
} ring;

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value) {
  return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void copy_in(ring *r, uint64_t at, const void *from, uint64_t size) {
  uint64_t start = at & (r->capacity - 1), first = r->capacity - start < size ? r->capacity - start : size;
  memcpy(r->bytes + start, from, first);
  memcpy(r->bytes, (const char *)from + first, size - first);
}

static void copy_out(const ring *r, uint64_t at, void *to, uint64_t size) {
  uint64_t start = at & (r->capacity - 1), first = r->capacity - start < size ? r->capacity - start : size;
  memcpy(to, r->bytes + start, first);
  memcpy((char *)to + first, r->bytes, size - first);
}

/* Wait until the ring holds a message. seq_cst on x_parked and x_tail here, and in push: either the reader sees the
 * message or the writer sees the parked reader. */
static void wait_for_message(ring *r, uint64_t head) {
  while (atomic_load_explicit(&r->x_tail, memory_order_acquire) == head) {
    if (!r->parks) {
      relax();
      continue;
    }
    uint32_t bell = atomic_load(&r->x_bell);
    atomic_store(&r->x_parked, 1);
    if (atomic_load(&r->x_tail) == head) {
      Py_BEGIN_ALLOW_THREADS;
      futex(&r->x_bell, FUTEX_WAIT, bell);
      Py_END_ALLOW_THREADS;
    }
    atomic_store(&r->x_parked, 0);
  }
}

static PyObject *py_create(PyObject *Py_UNUSED(module), PyObject *args) {
  unsigned long long capacity;
  int parks;
  if (!PyArg_ParseTuple(args, "Kp", &capacity, &parks))
    return NULL;
  if (capacity < CACHE_LINE || (capacity & (capacity - 1)) != 0) {
    PyErr_Format(PyExc_ValueError, "capacity %llu is not a power of two of at least %d", capacity, CACHE_LINE);
    return NULL;
  }
  ring *r = mmap(NULL, sizeof(ring) + capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (r == MAP_FAILED)
    return PyErr_SetFromErrno(PyExc_OSError);
  r->capacity = capacity;
  r->parks = (uint32_t)parks;
  /* Never unmapped: the two processes of the benchmark end soon after. */
  return PyCapsule_New(r, RING_NAME, NULL);
}

static PyObject *py_push(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t n_args) {
  if (n_args != 2 || !PyBytes_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "push(ring, message: bytes)");
    return NULL;
  }
  ring *r = PyCapsule_GetPointer(args[0], RING_NAME);
  if (r == NULL)
    return NULL;
  uint64_t size = (uint64_t)PyBytes_GET_SIZE(args[1]);
  uint64_t tail = atomic_load_explicit(&r->x_tail, memory_order_relaxed);
  if (size + sizeof size > r->capacity / 2) {
    PyErr_SetString(PyExc_ValueError, "the message is larger than half of the ring");
    return NULL;
  }
  while (tail + size + sizeof size - atomic_load_explicit(&r->x_head, memory_order_acquire) > r->capacity)
    relax();
  copy_in(r, tail, &size, sizeof size);
  copy_in(r, tail + sizeof size, PyBytes_AS_STRING(args[1]), size);
  if (!r->parks) {
    atomic_store_explicit(&r->x_tail, tail + sizeof size + size, memory_order_release);
  } else {
    atomic_store(&r->x_tail, tail + sizeof size + size);
    if (atomic_load(&r->x_parked)) {
      atomic_fetch_add(&r->x_bell, 1);
      futex(&r->x_bell, FUTEX_WAKE, 1);
    }
  }
  Py_RETURN_NONE;
}

static PyObject *py_pop(PyObject *Py_UNUSED(module), PyObject *capsule) {
  ring *r = PyCapsule_GetPointer(capsule, RING_NAME);
  if (r == NULL)
    return NULL;
  uint64_t size, head = atomic_load_explicit(&r->x_head, memory_order_relaxed);
  wait_for_message(r, head);
  copy_out(r, head, &size, sizeof size);
  PyObject *message = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
  if (message == NULL)
    return NULL;
  copy_out(r, head + sizeof size, PyBytes_AS_STRING(message), size);
  atomic_store_explicit(&r->x_head, head + sizeof size + size, memory_order_release);
  return message;
}

static PyMethodDef methods[] = {
    {"create", py_create, METH_VARARGS, "create(capacity, parks): a ring shared with the children forked later."},
    {"push", (PyCFunction)(void (*)(void))py_push, METH_FASTCALL, "push(ring, message): append; spins while full."},
    {"pop", py_pop, METH_O, "pop(ring) -> bytes: the next message; waits while empty."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "ring", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_ring(void) {
  return PyModule_Create(&module);
}
