# SPDX-License-Identifier: Apache-2.0
# The log of an actor that has checkpoints (node/call_log.h).

@cython.final
cdef class CallLog:
    cdef Client client

    def __init__(self, Client client not None, uint32_t position=0):
        client.check()
        self.client = client
        if not sh_log_open(&client.s, position):
            raise MemoryError("no memory to sort the calls after the last checkpoint")

    @property
    def position(self) -> int:
        return self.client.s.position

    @property
    def is_kept(self) -> bool:
        return sh_log_is_kept(&self.client.s)

    def __len__(self):
        return self.client.s.n_logged

    def is_due(self, uint32_t every) -> bool:
        return sh_log_is_due(&self.client.s, every)

    def cut(self, uint32_t position) -> None:
        self.client.check()
        sh_log_cut(&self.client.s, position)

    def begin(self, Task task not None) -> None:
        self.client.check()
        sh_log_begin(&self.client.s, task.slot)

    def forget(self, Task task not None) -> None:
        self.client.check()
        sh_log_forget(sh_slot_at(&self.client.s.seg, task.slot))

    def raised(self, Task task not None) -> None:
        self.client.check()
        sh_log_raised(&self.client.s, task.slot)

    def has_raised(self, Task task not None) -> bool:
        self.client.check()
        return sh_log_has_raised(&self.client.s, task.slot)

    def __getitem__(self, uint32_t i):
        cdef Client client = self.client
        cdef Task task
        client.check()
        if i >= client.s.n_logged:
            raise IndexError(i)
        task = _task(client, client.s.logged[i].slot)
        task.over = True  # for everybody but this actor: nothing of it is sealed again
        task.attempt += 1
        return task

    def state(self, ObjectRef ref not None):
        # Arrays that the actor goes on to change, and not views of what the store keeps.
        self.client.copies = True
        try:
            return _get(self.client, ref, None)
        finally:
            self.client.copies = False
