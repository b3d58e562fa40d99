# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True
"""The compiled node. Its contract is _node.pyi beside this file.

Each method unpacks, makes C calls with the GIL held, and wraps; pickling comes before the first C call and after the last.
Only waits release the GIL. The parts: reference.pxi (ObjectRef), codec.pxi (values <-> payloads), client.pxi (Client),
waiting.pxi (get and wait), buffer.pxi (objects filled in place), board.pxi (objects that several write to),
worker.pxi (Task and the claiming side), adopt.pxi (calls that an earlier attempt made), ending.pxi (how one ends there), context.pxi (whose calls are made),
stream.pxi (what generators yield), daemon.pxi (NodeCore), room.pxi (a full store; objects on disk),
survey.pxi (what there is, for people), trace.pxi (what was when).
"""
cimport cython
from cpython.buffer cimport PyBUF_ANY_CONTIGUOUS, PyBUF_FULL_RO, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strcmp

from c_node cimport *

# Below the modules `pickle` and `threading`, which take a millisecond and more to import.
import _pickle
import _thread
import os
import weakref
from types import GenericAlias

from shoal._core import status as _status

cdef object _dumps = _pickle.dumps
cdef object _loads = _pickle.loads
cdef object _PickleBuffer = _pickle.PickleBuffer
cdef int _PY_MINOR = __import__("sys").version_info[1]

ROLE_DRIVER = SH_ROLE_DRIVER
ROLE_WORKER = SH_ROLE_WORKER
ROLE_ACTOR = SH_ROLE_ACTOR
PAYLOAD_ERROR = SH_PAYLOAD_ERROR
PAYLOAD_SYSTEM_ERROR = SH_PAYLOAD_SYSTEM_ERROR
ERR_WORKER_DIED = SH_ERR_WORKER_DIED
ERR_ACTOR_DIED = SH_ERR_ACTOR_DIED
ERR_CANCELLED = SH_ERR_CANCELLED
ERR_ROOT_ENDED = SH_ERR_ROOT_ENDED
ERR_STORE_FULL = SH_ERR_STORE_FULL
ERR_DAMAGED = SH_ERR_DAMAGED
ERR_OUT_OF_MEMORY = SH_ERR_OUT_OF_MEMORY
ERR_TIMED_OUT = SH_ERR_TIMED_OUT
ERR_ACTOR_UNAVAILABLE = SH_ERR_ACTOR_UNAVAILABLE
ERR_ENVIRONMENT = SH_ERR_ENVIRONMENT
ERR_GROUP_REMOVED = SH_ERR_GROUP_REMOVED
EVENT_CLIENT_SWEPT = SH_EVENT_CLIENT_SWEPT
EVENT_NEED_WORKERS = SH_EVENT_NEED_WORKERS
EVENT_ACTOR_UNREFERENCED = SH_EVENT_ACTOR_UNREFERENCED
EVENT_STARVED = SH_EVENT_STARVED
EVENT_QUARANTINED = SH_EVENT_QUARANTINED
EVENT_FLUSH = SH_EVENT_FLUSH
EVENT_LIMITED = SH_EVENT_LIMITED
EVENT_CONDEMNED = SH_EVENT_CONDEMNED
EVENT_GRANTED = SH_EVENT_GRANTED
VERDICT_LIMIT = SH_VERDICT_LIMIT
VERDICT_PRESSURE = SH_VERDICT_PRESSURE
VERDICT_REMOVED = SH_VERDICT_REMOVED
ROLE_DAEMON = SH_ROLE_DAEMON
CLIENT_DYING = SH_CLIENT_DYING
TASK_READY = SH_TASK_READY
TASK_WAITING = SH_TASK_WAITING
TASK_CLAIMED = SH_TASK_CLAIMED
TASK_RUNNING = SH_TASK_RUNNING
TASK_COMMITTED = SH_TASK_COMMITTED
TASK_KILLING = SH_TASK_KILLING
TASK_CANCELLED = SH_TASK_CANCELLED
TASK_OVERDUE = SH_TASK_OVERDUE
TASK_LOGGED = SH_TASK_LOGGED
SLOT_ACTOR_CALL = SH_SLOT_ACTOR_CALL
SLOT_CREATES_ACTOR = SH_SLOT_CREATES_ACTOR
CLASS_LIVE = SH_CLASS_LIVE
CLASS_CLOSED = SH_CLASS_CLOSED
CLASS_SEAT = SH_CLASS_SEAT
CLASS_FREE_RUN = SH_CLASS_FREE_RUN
CLASS_LEASE = SH_CLASS_LEASE
CLASS_ACTOR = SH_CLASS_ACTOR
CLASS_GROUP = SH_CLASS_GROUP
RUN_BUSY = SH_RUN_BUSY
RUN_SPINNING = SH_RUN_SPINNING
RUN_PARKED = SH_RUN_PARKED
AWAITS_NOTHING = SH_AWAITS_NOTHING
AWAITS_SEVERAL = SH_AWAITS_SEVERAL
WAIT_ANYHOW = SH_WAIT_ANYHOW
WAIT_SOLE = SH_WAIT_SOLE
WAIT_LISTED = SH_WAIT_LISTED
WAIT_ALL = SH_WAIT_ALL
WAIT_ENDS_BY = SH_WAIT_ENDS_BY
WAITS_TASK = SH_WAITS_TASK
WAITS_CLIENT = SH_WAITS_CLIENT
LOC_NONE = SH_LOC_NONE
LOC_INLINE = SH_LOC_INLINE
LOC_SPILLED = SH_LOC_SPILLED
VALUE_HAS_REFS = <uint64_t>SH_VALUE_HAS_REFS
VALUE_ERROR = <uint64_t>SH_VALUE_ERROR
OWNER_SHARED = SH_OWNER_SHARED
NUMBER_ACTOR = SH_NUMBER_ACTOR
NUMBER_PUT = <uint64_t>SH_NUMBER_PUT
NUMBER_PERMIT = SH_NUMBER_PERMIT
NUMBER_ITEM = SH_NUMBER_ITEM

cdef extern from "Python.h":
    void PyList_SET_ITEM(object o, Py_ssize_t i, PyObject *v)  # steals a reference
    list PyList_New(Py_ssize_t n)
    PyTypeObject *Py_TYPE(PyObject *o)


# The one translation from status to exception. Looked up at raise time: the front end installs its public classes there.
cdef dict _STATUS_NAMES = {
    SH_TIMEOUT: "Timeout", SH_FULL: "StoreFull", SH_FENCED: "Fenced", SH_LOST: "Invalid", SH_INVALID: "Invalid",
    SH_OS: "CoreError",
}


cdef object _raise(sh_status status, str text):
    cls = getattr(_status, _STATUS_NAMES.get(status, "CoreError"))
    if status == SH_OS:
        text += f": {os.strerror(_errno())}"
    raise cls(text)


cdef extern from "<errno.h>" nogil:
    int errno


cdef int _errno():
    return errno


cdef extern from "bind/trace.h" nogil:
    ctypedef struct sh_trace_head:
        pass


include "reference.pxi"
include "codec.pxi"
include "client.pxi"
include "waiting.pxi"
include "buffer.pxi"
include "board.pxi"
include "stream.pxi"
include "adopt.pxi"
include "worker.pxi"
include "ending.pxi"
include "call_log.pxi"
include "context.pxi"
include "daemon.pxi"
include "room.pxi"
include "survey.pxi"
include "trace.pxi"


def system_info() -> dict:
    """Facts about this build of the core."""
    return {
        "layout_version": SH_LAYOUT_VERSION,
        "entry_bytes": sizeof(sh_entry),
        "slot_bytes": sizeof(sh_slot),
        "check": SH_CHECK,
        "cores": sh_os_cores(),
    }
