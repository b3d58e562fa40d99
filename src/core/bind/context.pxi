# SPDX-License-Identifier: Apache-2.0
# Whom a thread acts for: the task that it runs, whose children its calls are (context.h).

cdef object _set_current(Client client, Task task):
    # A coroutine's steps come and go: the counters of its task go on where they stopped.
    cdef Task before
    if sh_context.task != NULL:
        before = <Task>sh_context.task
        before.counter = sh_context.counter
        before.put_counter = sh_context.put_counter
        sh_context.task = NULL
        Py_DECREF(before)
    if task is None:
        sh_context.client = 0
        return
    Py_INCREF(task)
    sh_context.task = <void *>task
    sh_context.client = client.serial
    sh_context.task_id = task.task_id
    sh_context.counter = task.counter
    sh_context.put_counter = task.put_counter
    sh_context.depth = task.depth
    sh_context.parent = task.parent
    sh_context.adopts = task.attempt > 0 and task.parent != 0
    client.has_parents |= task.parent != 0
    client.adopts |= sh_context.adopts
