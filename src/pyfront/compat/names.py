# SPDX-License-Identifier: Apache-2.0
"""Ray's public names: where Shoal has each, and for those that it has not, what to use instead. Data only.

A module that is not there yet, or lacks a name, is no error here: the name is refused when somebody asks for it."""

from __future__ import annotations

RAY_VERSION = "2.60.0"
"""The release of Ray whose core these names are; `ray.__version__`."""


def _in(home: str, names: str) -> dict[str, str]:
    """Names that are the same in a module of Shoal."""
    return {name: f"{home}:{name}" for name in names.split()}


_IDS = _in(
    "shoal.compat.ids",
    "ActorClassID ActorID FunctionID JobID NodeID TaskID UniqueID WorkerID",
)
_PLACEMENT = _in(
    "shoal.util.placement_group",
    "get_current_placement_group get_placement_group placement_group placement_group_table remove_placement_group",
)
_LOGGING = _in("shoal.compat.log_once", "disable_log_once_globally enable_periodic_logging log_once")
_SERIALIZERS = _in("shoal.util.serialization", "deregister_serializer register_serializer")
_STATE = _in(
    "shoal.compat.state",
    "get_actor get_job get_node get_objects get_placement_group get_task get_worker list_actors list_jobs list_nodes "
    "list_objects list_placement_groups list_tasks list_workers summarize_actors summarize_objects summarize_tasks",
)
_COLLECTIVE = _in(
    "shoal.util.collective",
    "allgather allreduce barrier broadcast create_collective_group destroy_collective_group get_collective_group_size "
    "get_rank init_collective_group is_group_initialized recv reduce reducescatter send",
)
_POOL = {
    "Pool": "shoal.compat.pool:Pool",
    "TimeoutError": "shoal.util.multiprocessing:TimeoutError",
}

MODULES: dict[str, dict[str, str]] = {
    "": {
        **_IDS,
        **_in("shoal.ids", "PlacementGroupID"),
        **_in("shoal.api", "is_initialized kill put"),
        **_in("shoal.compat.calls", "cancel get shutdown wait"),
        **_in("shoal.compat.node", "available_resources cluster_resources nodes"),
        **_in("shoal.compat.remote", "remote"),
        **_in("shoal.compat.connection", "LOCAL_MODE SCRIPT_MODE WORKER_MODE init"),
        **_in("shoal.compat.job_config", "LoggingConfig"),
        **_in("shoal.compat.context", "get_runtime_context"),
        "DynamicObjectRefGenerator": "shoal.task.dynamic:DynamicObjectRefGenerator",
        "ObjectID": "shoal._core._node:ObjectRef",
        "ObjectRef": "shoal._core._node:ObjectRef",
        "ObjectRefGenerator": "shoal._core._node:ObjectRefGenerator",
        "__version__": "shoal.compat.names:RAY_VERSION",
        "get_actor": "shoal.actor_class:get_actor",
        "get_gpu_ids": "shoal.runtime_context:get_gpu_ids",
        "method": "shoal.actor:method",
        "timeline": "shoal:timeline",
    },
    "_private": {},
    "_private.services": _in("shoal.compat.node", "get_node_ip_address"),
    "_private.worker": {"BaseContext": "shoal.compat.connection:RayContext"},
    "_raylet": _in("shoal._core._node", "ObjectRef ObjectRefGenerator"),  # what libraries ask `isinstance` about
    "actor": {
        **_in("shoal.compat.exceptions", "ActorClassInheritanceException"),
        "ActorClass": "shoal.actor_class:ActorClass",
        "ActorHandle": "shoal.actor:ActorHandle",
        "ActorMethod": "shoal.actor:ActorMethod",
        "exit_actor": "shoal.actor_exit:exit_actor",
        "method": "shoal.actor:method",
    },
    "cluster_utils": _in("shoal.compat.cluster", "Cluster"),
    "exceptions": _in(
        "shoal.compat.exceptions",
        "ActorAlreadyExistsError ActorDiedError ActorHandleNotFoundError ActorPlacementGroupRemoved "
        "ActorUnavailableError ActorUnschedulableError AsyncioActorExit AuthenticationError CrossLanguageError "
        "GetTimeoutError LocalRayletDiedError NodeDiedError ObjectFetchTimedOutError ObjectFreedError ObjectLostError "
        "ObjectReconstructionFailedError ObjectRefStreamEndOfStreamError ObjectStoreFullError "
        "OufOfBandObjectRefSerializationException OutOfDiskError OutOfMemoryError OwnerDiedError "
        "PendingCallsLimitExceeded PlasmaObjectNotAvailable RayActorError RayCgraphCapacityExceeded RayChannelError "
        "RayChannelTimeoutError RayDirectTransportError RayError RaySystemError RayTaskError "
        "ReferenceCountingAssertionError RpcError RuntimeEnvSetupError StreamingGeneratorReplayInconsistentError "
        "TaskCancelledError TaskPlacementGroupRemoved TaskUnschedulableError UnserializableException UserCodeException "
        "WorkerCrashedError",
    ),
    "job_config": _in("shoal.compat.job_config", "JobConfig"),
    "remote_function": _in("shoal.remote_function", "RemoteFunction"),
    "runtime_context": {
        "RuntimeContext": "shoal.compat.context:RayRuntimeContext",
        "get_runtime_context": "shoal.compat.context:get_runtime_context",
    },
    "runtime_env": _in("shoal.runtime_env", "RuntimeEnv RuntimeEnvConfig"),
    "types": {"ObjectRef": "shoal._core._node:ObjectRef"},
    "util": {
        **_in("shoal.util", "ActorPool as_completed inspect_serializability list_named_actors map_unordered"),
        **_in("shoal.compat.node", "get_node_instance_id get_node_ip_address"),
        **_LOGGING,
        **_PLACEMENT,
        **_SERIALIZERS,
    },
    "util.actor_pool": _in("shoal.util", "ActorPool"),
    "util.annotations": _in("shoal.compat.annotations", "Deprecated DeveloperAPI PublicAPI RayDeprecationWarning"),
    "util.check_serialize": _in("shoal.util.inspection", "FailureTuple inspect_serializability"),
    "util.client": _in("shoal.compat.client", "num_connected_contexts ray"),
    "util.client.common": _in("shoal.compat.client", "ClientActorHandle ClientObjectRef"),
    "util.collective": _COLLECTIVE,
    "util.collective.collective": _COLLECTIVE,
    "util.collective.types": _in("shoal.util.collective", "Backend ReduceOp"),
    "util.dask": _in("shoal.compat.dask", "disable_dask_on_ray enable_dask_on_ray ray_dask_get"),
    "util.debug": {**_LOGGING, **_in("shoal.compat.log_once", "reset_log_once")},
    "util.helpers": _in("shoal.util", "as_completed map_unordered"),
    "util.joblib": _in("shoal.compat.joblib", "register_ray"),
    "util.metrics": _in("shoal.util.metrics", "Counter Gauge Histogram"),
    "util.multiprocessing": {**_POOL, "JoinableQueue": "multiprocessing:JoinableQueue"},
    "util.multiprocessing.pool": {**_POOL, **_in("shoal.util.multiprocessing", "AsyncResult IMapIterator")},
    "util.placement_group": {**_PLACEMENT, **_in("shoal.util.placement_group", "PlacementGroup")},
    "util.queue": _in("shoal.util.queue", "Empty Full Queue"),
    "util.scheduling_strategies": _in(
        "shoal.util.scheduling_strategies",
        "DoesNotExist Exists In NodeAffinitySchedulingStrategy NodeLabelSchedulingStrategy NotIn "
        "PlacementGroupSchedulingStrategy",
    ),
    "util.serialization": _SERIALIZERS,
    "util.state": _STATE,
    "util.state.api": _STATE,
    "util.state.exception": _in(
        "shoal.compat.exceptions", "DataSourceUnavailable RayStateApiException ServerUnavailable"
    ),
}
"""Module of Ray, without `ray.` -> its public names -> "module:name" in Shoal."""

WHOLE_MODULES = {"cloudpickle": "cloudpickle"}
"""Module of Ray -> a module that is the same."""

_PRIVATE = "it is private to Ray; use the public names"
_LANGUAGES = "tasks and actors are written in Python"
_CLUSTER = "a node is one machine"
_BACKENDS = "there is one backend, shared memory"
_DEBUGGER = "step through a program with `init(mode='inline')`, or look at it with `shoal stack`"


def _each(module: str, names: str, why: str) -> dict[str, str]:
    return {f"{module}.{name}": why for name in names.split()}


ABSENT: dict[str, str] = {
    "Client": "connect with `init(address=...)`",
    "ClientBuilder": "connect with `init(address=...)`",
    "Language": _LANGUAGES,
    "_config": _PRIVATE,
    "_private": _PRIVATE,
    "air": "it is Ray's library for machine learning; use tasks and actors",
    "autoscaler": _CLUSTER,
    "client": "connect with `init(address=...)`",
    "client_builder": "connect with `init(address=...)`",
    "cluster_utils.AutoscalingCluster": _CLUSTER,
    "core": _PRIVATE,
    "cpp_function": _LANGUAGES,
    "cross_language": _LANGUAGES,
    "dag": "call `.remote()`: a graph of tasks is made by passing refs as arguments",
    "dashboard": "use `shoal status`, `shoal list` and `shoal.util.state`",
    "data": "use pandas, Polars or Dask (`ray.util.dask`) in tasks",
    "experimental": "Ray promises nothing for it, and Shoal has none of it",
    "internal": "objects are freed when their last reference goes",
    "java_actor_class": _LANGUAGES,
    "java_function": _LANGUAGES,
    "job_submission": "start the program itself",
    "llm": "it is Ray's library for language models; use actors",
    "ray_constants": _PRIVATE,
    "rllib": "write the loop with tasks and actors: `examples/simulate_train_serve.py` does",
    "scripts": "the command is `shoal`",
    "serve": "keep the model in actors, and put a web framework before them",
    "train": "use actors and `ray.util.collective`",
    "tune": "run the trials as tasks, and take results with `wait` or `as_completed`",
    "util.ActorGroup": "make a list of actors, or use `ActorPool`",
    "util.accelerators": "demand a GPU with `num_gpus`, or a kind of one as a custom resource",
    "util.annotations.AnnotationType": _PRIVATE,
    "util.actor_group": "make a list of actors, or use `ActorPool`",
    "util.check_open_ports": "no process of a node listens on the network",
    "util.client.RayAPIStub": "connect with `init(address=...)`",
    "util.client_connect": "connect with `init(address=...)`",
    "util.collective.allgather_multigpu": "one process has one GPU: use `allgather`",
    "util.collective.allreduce_multigpu": "one process has one GPU: use `allreduce`",
    "util.collective.broadcast_multigpu": "one process has one GPU: use `broadcast`",
    "util.collective.get_group_handle": _PRIVATE,
    "util.collective.gloo_available": _BACKENDS,
    "util.collective.is_backend_available": _BACKENDS,
    "util.collective.nccl_available": _BACKENDS,
    "util.collective.recv_multigpu": "one process has one GPU: use `recv`",
    "util.collective.reduce_multigpu": "one process has one GPU: use `reduce`",
    "util.collective.reducescatter_multigpu": "one process has one GPU: use `reducescatter`",
    "util.collective.register_collective_backend": _BACKENDS,
    "util.collective.send_multigpu": "one process has one GPU: use `send`",
    **_each(
        "util.collective.types",
        "AllGatherOptions AllReduceOptions BarrierOptions BroadcastOptions RecvOptions ReduceOptions "
        "ReduceScatterOptions SendOptions",
        "it is for backends of Ray; give the arguments to the operation",
    ),
    "util.collective.types.cupy_available": _BACKENDS,
    "util.collective.types.torch_available": "import torch and see",
    "util.common": _PRIVATE,
    "util.connect": "connect with `init(address=...)`",
    "util.dask.ProgressBarCallback": "look at the node with `shoal status` meanwhile",
    "util.dask.RayDaskCallback": "Dask's own callbacks do not see the tasks of a node either",
    "util.dask.dataframe_optimize": "it is not needed: a shuffle is made of tasks",
    "util.dask.local_ray_callbacks": "there are no callbacks",
    "util.dask.ray_dask_get_sync": "use Dask's own scheduler 'sync' to debug",
    "util.dask.ray_dask_persist": "`persist` keeps values in the driver",
    "util.dask.unpack_ray_callbacks": "there are no callbacks",
    "util.debug.Suspect": "use `tracemalloc`",
    "util.debugpy": _DEBUGGER,
    "util.disconnect": "use `shutdown`",
    "util.horovod": "use `ray.util.collective`",
    "util.iter": "use generators: a task with `yield` streams its results",
    "util.iter_metrics": "use `ray.util.metrics`",
    "util.lightgbm": "train in actors",
    **_each(
        "util.multiprocessing.pool",
        "OrderedIMapIterator PoolActor PoolTaskError ResultThread UnorderedIMapIterator div_round_up "
        "ray_get_if_needed ray_put_if_needed",
        "it is a part of Ray's pool; what its methods give and raise is the interface",
    ),
    "util.pdb": _DEBUGGER,
    "util.placement_group.check_placement_group_index": _PRIVATE,
    "util.placement_group.validate_placement_group": _PRIVATE,
    "util.ray_debugpy": _DEBUGGER,
    "util.rpdb": _DEBUGGER,
    "util.sgd": "use actors and `ray.util.collective`",
    "util.serialization.StandaloneSerializationContext": "use `cloudpickle`",
    "util.serialization_addons": _PRIVATE,
    "util.spark": _CLUSTER,
    "util.state.StateApiClient": "call the functions of `ray.util.state`",
    "util.state.common": "a row is a `shoal.util.state.TaskState`, `ActorState`, ...",
    "util.state.get_log": "use `shoal logs`",
    "util.state.list_cluster_events": _CLUSTER,
    "util.state.list_logs": "use `shoal logs`",
    "util.state.list_runtime_envs": "the environment is among the options of each task and actor",
    "util.timer": "use `time.perf_counter`",
    "util.tpu": "demand accelerators as custom resources",
    "util.tracing": "use `timeline`",
    "util.xgboost": "train in actors",
    "widgets": "it draws Ray's notebook output",
    "workflow": "write what must survive to disk in tasks; Ray has dropped it too",
}
"""Name of Ray, a module or below one -> what to do instead."""
