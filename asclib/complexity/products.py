"""Products written element by element, followed to the sum that adds them up.

`(x.unsqueeze(-1) * w).sum(1)` is a dense layer; `x * gate`, which nobody sums, is none. So a
product is remembered with its two factors, through views, copies, biases and scales, until a sum, a
mean or a pooling adds up some of its numbers. It counts, once, if both factors differ among the
numbers that are added: a scale that is one number over all that is averaged could as well stand
outside. Where one activation gates another, number by number, a pooling or mean that follows is a
pooling; a sum is attention, and counts.

Normalisation stays free, as in torch's own layers: the sum of the squares of one tensor is a norm
or a variance. The square of a difference of two, (x - w)², holds their product, and counts. So are
functions of one tensor free, such as x · sigmoid(x). A sum of several products, a · x + b · y,
counts where weights are in each of them: the gates of a recurrent layer are free.

Chapter: book/compression/complexity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

# what keeps a product one: a sign, a copy, another type of number
LINEAR = frozenset("neg positive clone _to_copy".split())
# what moves numbers or leaves some out: it is asked to move the numbers of the factors as well
MOVES = frozenset(
    """cat stack constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d roll flip repeat
    replication_pad1d replication_pad2d replication_pad3d index index_select gather im2col where
    masked_fill _unsafe_view _reshape_alias pixel_shuffle channel_shuffle tril triu""".split()
)
POOLS = frozenset(
    "avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d".split()
)
NORMS = frozenset("linalg_vector_norm norm".split())
REDUCTIONS = frozenset("sum mean cumsum".split()) | POOLS | NORMS

Place = tuple[int, tuple[int, ...], tuple[int, ...], int]  # storage, sizes, strides, offset


@dataclass(eq=False)
class Product:
    """Products of two factors, not yet summed, and which numbers of the factors are in each.

    `first` and `second` are as long as the storage that holds the products, and in its order.
    Products of products share their list `counted`, which is empty until one of them is summed.
    """

    macs: int
    weighted: bool  # one factor depends on no input
    gate: bool  # one activation scales another
    first: Tensor
    second: Tensor
    counted: list[bool] = field(default_factory=list)

    def among(self, first: Tensor, second: Tensor) -> Product:
        """The same products in another storage."""
        return Product(self.macs, self.weighted, self.gate, first, second, self.counted)


@dataclass
class Content:
    """What a storage holds: products, and of a sum or difference the square it would have.

    `pure` if nothing but products was added up, `summed` if some of them have been counted.
    """

    products: list[Product] = field(default_factory=list)
    squared: Product | None = None
    pure: bool = True
    summed: bool = False


class Products:
    """Follows products through one forward pass; `follow` is told of every operation but views."""

    def __init__(self, state: Iterable[int]):
        self.constant = set(state)  # storages that depend on no input
        self.contents: dict[int, Content] = {}
        self.sources: dict[int, tuple[Place, Place]] = {}  # of functions of one tensor

    def follow(
        self,
        name: str,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        outputs: list[Tensor],
        elementwise: bool,
    ) -> int:
        """The MACs that an operation completes.

        Args: name in ATen, func, args, kwargs; its outputs; elementwise, number by number.
        """
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        constant = all(storage_of(t) in self.constant for t in inputs)
        macs, content, source = 0, Content(), None
        if not constant and len(outputs) == 1:
            macs, content = self._content(name, func, args, kwargs, inputs, outputs[0])
            moving = [t for t in inputs if self._moves(t)]
            if elementwise and moving and moving[0].shape == outputs[0].shape:
                sources = {self._source(t) for t in moving}
                source = sources.pop() if len(sources) == 1 else None
        for made in outputs:  # which hold something else now
            storage = storage_of(made)
            self.contents.pop(storage, None)
            self.sources.pop(storage, None)
            (self.constant.add if constant else self.constant.discard)(storage)
            if content.products or content.squared or content.summed:
                self.contents[storage] = content
            if source is not None:
                self.sources[storage] = place_of(made), source
        return macs

    def _moves(self, tensor: Tensor) -> bool:
        """Whether it is many numbers that depend on an input."""
        return tensor.numel() > 1 and not self._is_weight(tensor)

    def _is_weight(self, tensor: Tensor) -> bool:
        return storage_of(tensor) in self.constant

    def _source(self, tensor: Tensor) -> Place:
        """The tensor that this one is a function of, number by number; or itself."""
        here = place_of(tensor)
        made, source = self.sources.get(storage_of(tensor), (here, here))
        return source if made == here else here

    def _content(
        self,
        name: str,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: list[Tensor],
        result: Tensor,
    ) -> tuple[int, Content]:
        held = [self.contents.get(storage_of(t)) for t in inputs]
        if name == "div" and len(inputs) > 1 and self._moves(inputs[1]):  # scaled by a statistic
            return 0, _carried(held[0], inputs[0], result) if held[0] else Content()
        if name in ("mul", "div"):
            return self._multiply(inputs, held, result)
        if name in ("pow", "square"):
            square = name == "square" or args[1:2] == (2,)
            return 0, _square(held[0], inputs[0], result) if square else Content()
        if name in ("add", "sub", "rsub"):
            return self._add(inputs, held, result)
        if name == "addcmul":  # multiplies and accumulates, whatever comes after
            return torch.broadcast_tensors(*inputs[1:3])[0].numel(), Content(summed=True)
        if name in REDUCTIONS and held[0]:
            return _reduce(name, args, kwargs, inputs[0], held[0], result)
        if name in LINEAR and held[0]:
            return 0, _carried(held[0], inputs[0], result)
        if name in MOVES:
            return 0, self._move(func, args, kwargs, inputs, result)
        if name == "copy":  # into a part of what is there
            into, given = held[0] or Content(), held[1]
            moved = _carried(given, inputs[1], result) if given else Content()
            return 0, Content([*into.products, *moved.products], summed=moved.summed)
        return 0, Content()

    def _multiply(
        self, factors: list[Tensor], held: list[Content | None], result: Tensor
    ) -> tuple[int, Content]:
        content = Content()
        for factor, given in zip(factors, held, strict=True):
            if given:
                moved = _carried(given, factor, result)
                content.products += moved.products
                content.summed |= moved.summed
                if len(factors) == 1 or min(t.numel() for t in factors) == 1:
                    content.squared = moved.squared
        # one number that is a weight matters where several products are added
        if len(factors) < 2 or any(t.numel() == 1 and not self._is_weight(t) for t in factors):
            return 0, content
        moving = [t for t in factors if self._moves(t)]
        if len({self._source(t) for t in moving}) < len(moving):  # a function of one tensor
            square = _square(held[0], factors[0], result)
            return 0, square if square.products else content
        complex_factors = sum(t.is_complex() for t in factors)
        if complex_factors == 2:  # four products, in two sums
            return 4 * result.numel(), Content(summed=True)
        macs = result.numel() * (1 + complex_factors)
        product = _product(macs, len(moving) < 2, factors, result)
        if content.products:
            product.counted = content.products[0].counted
        content.products.append(product)
        return 0, content

    def _add(
        self, terms: list[Tensor], held: list[Content | None], result: Tensor
    ) -> tuple[int, Content]:
        content, macs = Content(), 0
        for term, given in zip(terms, held, strict=True):
            if given:
                moved = _carried(given, term, result)
                content.products += moved.products
                content.summed |= moved.summed
                content.squared = moved.squared
            content.pure &= given.pure if given else not self._moves(term)
        many = [t for t in terms if t.numel() > 1]
        if len(many) == 2:
            content.squared = None
            if len({self._source(t) for t in many}) == 2:
                weighted = not all(map(self._moves, many))
                content.squared = _product(result.numel(), weighted, many, result)
        lists = {id(product.counted) for product in content.products}
        several = len(lists) + content.summed > 1 and all(given for given in held)
        if content.pure and several and all(p.weighted for p in content.products):
            macs = _count(content.products)
            content.products, content.summed = [], True
        return macs, content

    def _move(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: list[Tensor],
        result: Tensor,
    ) -> Content:
        content = Content()
        held = {id(t): self.contents[s] for t in inputs if (s := storage_of(t)) in self.contents}
        for tensor in {id(t): t for t in inputs}.values():
            given = held.get(id(tensor), Content())
            content.summed |= given.summed
            for product in given.products:
                numbers = []
                for factor in (product.first, product.second):

                    def swapped(x: Any, ours: Tensor = tensor, factor: Tensor = factor) -> Any:
                        if x is ours:
                            return _seen(factor, ours).clone()
                        floating = isinstance(x, Tensor) and x.is_floating_point()
                        return torch.zeros_like(x, dtype=torch.float64) if floating else x

                    try:
                        moved = func(*tree_map(swapped, args), **tree_map(swapped, kwargs))
                    except (RuntimeError, TypeError):  # taken for numbers that all differ
                        moved = torch.arange(result.numel(), dtype=torch.float64).view(result.shape)
                    numbers.append(_laid(moved, result))
                content.products.append(product.among(*numbers))
        return content


def _reduce(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    summed: Tensor,
    held: Content,
    result: Tensor,
) -> tuple[int, Content]:
    products = held.products
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if name in NORMS:
        order = kwargs.get("ord", args[1] if len(args) > 1 else 2)
        dims = kwargs.get("dim", args[2] if len(args) > 2 else None)
        products = [held.squared] if held.squared and order in (2, None) else []
    elif name in POOLS:
        dims = list(range(-int(name[-2]), 0))
    dims = [dims] if isinstance(dims, int) else list(dims or range(summed.dim()))
    done, left = [], Content()
    for product in products:
        numbers = [_seen(factor, summed) for factor in (product.first, product.second)]
        if not dims or not summed.numel() or (product.gate and name not in ("sum", "cumsum")):
            continue
        first, second = (x.amax(dims) != x.amin(dims) for x in numbers)
        if bool((first & second).any()):
            done.append(product)
        elif name in ("sum", "mean"):  # of a sum, there may be a sum
            numbers = [_laid(x.amin(dims).view(result.shape), result) for x in numbers]
            left.products.append(product.among(*numbers))
    return _count(done), left


def _count(products: list[Product]) -> int:
    """MACs of products, each counted once; of a product of products only the largest."""
    new: dict[int, Product] = {}
    for product in products:
        known = new.setdefault(id(product.counted), product)
        if product.macs > known.macs:
            new[id(product.counted)] = product
    macs = sum(product.macs for product in new.values() if not product.counted)
    for product in new.values():
        product.counted[:] = [True]
    return macs


def _product(macs: int, weighted: bool, factors: list[Tensor], result: Tensor) -> Product:
    first, second = (_laid(_numbers(t).to(result.device), result) for t in factors)
    gate = not weighted and result.numel() == max(t.numel() for t in factors)
    return Product(macs, weighted, gate, first, second)


def _square(held: Content | None, base: Tensor, result: Tensor) -> Content:
    if held is None or held.squared is None:
        return Content()
    square = held.squared
    numbers = [_laid(_seen(x, base), result) for x in (square.first, square.second)]
    first, second = numbers
    return Content([Product(result.numel(), square.weighted, False, first, second)])


def _carried(held: Content, base: Tensor, result: Tensor) -> Content:
    """What a storage holds, after something that keeps its numbers where they are."""

    def moved(product: Product) -> Product:
        return product.among(
            *(_laid(_seen(x, base), result) for x in (product.first, product.second))
        )

    squared = moved(held.squared) if held.squared else None
    return Content([moved(p) for p in held.products], squared, held.pure, held.summed)


def _numbers(tensor: Tensor) -> Tensor:
    """The number of each element in its storage; where a tensor repeats itself, so do they."""
    size = tensor.untyped_storage().nbytes() // tensor.element_size()
    return _seen(torch.arange(size, dtype=torch.float64), tensor)


def _laid(numbers: Tensor, result: Tensor) -> Tensor:
    """Numbers of the shape of a result, or that broadcast to it, in the order of its storage."""
    laid = numbers.new_zeros(result.untyped_storage().nbytes() // result.element_size())
    laid.as_strided(result.shape, result.stride(), result.storage_offset()).copy_(numbers)
    return laid


def _seen(laid: Tensor, tensor: Tensor) -> Tensor:
    """Numbers in the order of a storage, as a tensor of it shows them."""
    try:
        return laid.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
    except RuntimeError:  # numbers of another size: taken for all different
        return torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape)


def place_of(tensor: Tensor) -> Place:
    shape, strides = tuple(tensor.shape), tuple(tensor.stride())
    return storage_of(tensor), shape, strides, int(tensor.storage_offset())


def storage_of(tensor: Tensor) -> int:
    """What tells tensors with memory of their own from views of one another."""
    return tensor.untyped_storage()._cdata
