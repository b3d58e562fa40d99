# SPDX-License-Identifier: Apache-2.0
"""A plugin for mypy, for what types alone cannot say. In pyproject.toml: `[tool.mypy] plugins = ["shoal.mypy_plugin"]`.

- A method called through an actor's handle has the parameters and the result of the class's method:
  `handle.add.remote(1)`; `@shoal.method(num_returns=2)` makes it a list of refs.
- An argument may be a ref to what the parameter takes, by position or by name, and is looked at: `ObjectRef[str]` is no
  `int`.
- A class under `@shoal.remote` has `remote` and `options`. mypy does not follow class decorators; without the plugin,
  write `Counter = shoal.remote(PlainCounter)`.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import ARG_STAR, ARG_STAR2, Argument, CallExpr, Decorator, Expression, IntExpr, TypeInfo, Var
from mypy.plugin import AttributeContext, ClassDefContext, MethodSigContext, Plugin
from mypy.plugins.common import add_method_to_class
from mypy.types import (
    AnyType,
    CallableType,
    FunctionLike,
    Instance,
    Parameters,
    Type,
    TypeOfAny,
    UninhabitedType,
    UnionType,
    get_proper_type,
)

CALL = "shoal._core._node.Caller.__call__"
REF = "shoal._core._node.ObjectRef"
HANDLE = "shoal.actor.ActorHandle"
ACTOR_CLASS = "shoal.actor_class.ActorClass"
SEVERAL = "shoal.typed.Several"
DECORATORS = ("shoal.api.remote", "shoal.remote")


class ShoalPlugin(Plugin):
    """The hooks that mypy asks for."""

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        """Of methods through handles: what gives the type of the attribute `fullname`, if it is one."""
        if fullname.startswith(f"{HANDLE}."):
            name = fullname[len(HANDLE) + 1 :]
            return lambda context: _method_of_handle(context, name)
        return None

    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        """Of `.remote(...)`: what gives the signature of `fullname`, if it is that."""
        return _with_refs if fullname == CALL else None

    def get_class_decorator_hook_2(self, fullname: str) -> Callable[[ClassDefContext], bool] | None:
        """Of classes under `@shoal.remote`: what changes the class, if the decorator `fullname` is that."""
        return _actor_class if fullname in DECORATORS else None


def _method_of_handle(context: AttributeContext, name: str) -> Type:
    """`handle.name`, from the class's own method."""
    handle = get_proper_type(context.type)
    if not isinstance(handle, Instance) or not handle.args:
        return context.default_attr_type
    actor, default = get_proper_type(handle.args[0]), get_proper_type(context.default_attr_type)
    if not isinstance(actor, Instance) or not isinstance(default, Instance):
        return context.default_attr_type
    symbol = actor.type.get(name)
    if symbol is None:
        context.api.fail(f'actor "{actor.type.name}" has no method "{name}"', context.context)
        return context.default_attr_type
    checker = context.api.expr_checker  # type: ignore[attr-defined]  # of the one class that implements the interface
    bound = get_proper_type(checker.analyze_external_member_access(name, actor, context.context))
    if not isinstance(bound, CallableType):
        return context.default_attr_type
    result = bound.ret_type
    if isinstance(symbol.node, Decorator) and _declares_several(symbol.node.original_decorators):
        result = _several(default) or result
    parameters = Parameters(bound.arg_types, bound.arg_kinds, bound.arg_names, variables=bound.variables)
    return default.copy_modified(args=[parameters, result])


def _several(method: Instance) -> Type | None:
    """The result that means a list of refs, as `ActorMethod.options` names it."""
    symbol = method.type.get("options")
    overloaded = None if symbol is None else get_proper_type(symbol.type)
    for item in overloaded.items if isinstance(overloaded, FunctionLike) else ():
        given = get_proper_type(item.ret_type)
        for kind in map(get_proper_type, given.args if isinstance(given, Instance) else ()):
            if isinstance(kind, Instance) and kind.type.fullname == SEVERAL:
                return kind
    return None


def _declares_several(decorators: list[Expression]) -> bool:
    for decorator in decorators:
        if isinstance(decorator, CallExpr):
            for name, value in zip(decorator.arg_names, decorator.args, strict=True):
                if name == "num_returns" and isinstance(value, IntExpr) and value.value != 1:
                    return True
    return False


def _with_refs(context: MethodSigContext) -> FunctionLike:
    """One signature of `Caller.__call__`: each parameter takes a ref too, so the signatures for calls with refs, which
    look at nothing else, take none."""
    signature = context.default_signature
    caller = get_proper_type(context.type)
    if not isinstance(caller, Instance):
        return signature
    any_ref = _ref_to_any(caller)
    if any_ref is None:
        return signature
    types = [get_proper_type(kind) for kind in signature.arg_types]
    if any(kind == any_ref for kind in types) and ARG_STAR2 in signature.arg_kinds:
        nobody = any_ref.copy_modified(args=[UninhabitedType()])
        return signature.copy_modified(arg_types=[nobody if kind == any_ref else kind for kind in types])
    opened = [UnionType.make_union([kind, any_ref.copy_modified(args=[kind])]) for kind in types]
    return signature.copy_modified(arg_types=opened)


def _ref_to_any(caller: Instance) -> Instance | None:
    """`ObjectRef[Any]`, as the signatures for calls with refs name it."""
    symbol = caller.type.get("__call__")
    overloaded = None if symbol is None else get_proper_type(symbol.type)
    for item in overloaded.items if isinstance(overloaded, FunctionLike) else ():
        for kind in map(get_proper_type, item.arg_types):
            if isinstance(kind, Instance) and kind.type.fullname == REF:
                return kind
    return None


def _actor_class(context: ClassDefContext) -> bool:
    """Give the class `remote` and `options`. False: what it needs is not known yet, ask again."""
    info: TypeInfo = context.cls.info
    handle = context.api.named_type_or_none(HANDLE, [Instance(info, [])])
    actor_class = context.api.named_type_or_none(ACTOR_CLASS, [Instance(info, [])])
    if handle is None or actor_class is None:
        return False
    anything = AnyType(TypeOfAny.explicit)
    open_arguments = [
        Argument(Var("args", anything), anything, None, ARG_STAR),
        Argument(Var("kwargs", anything), anything, None, ARG_STAR2),
    ]
    add_method_to_class(context.api, context.cls, "remote", open_arguments, handle, is_staticmethod=True)
    add_method_to_class(context.api, context.cls, "options", open_arguments[1:], actor_class, is_staticmethod=True)
    return True


def plugin(version: str) -> type[Plugin]:
    """What mypy calls, with its own `version` -> the plugin's class."""
    return ShoalPlugin


__all__ = ["ShoalPlugin", "plugin"]
