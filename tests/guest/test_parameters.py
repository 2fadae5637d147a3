"""Declared parameters: checks, messages, and that every workload declares well."""

from __future__ import annotations

import pytest

from vmdedup.errors import UsageError
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.parameters import Parameter, parameters_of
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.workloads import (
    WORKLOADS,
    check_parameters,
    filled_parameters,
    workload_class,
    workload_parameters,
)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_parameter_says_what_it_means(name: str) -> None:
    declared = workload_parameters(name)
    assert declared
    for key, one in declared.items():
        assert one.name == key
        assert len(one.meaning) > 5
        assert one.checked(one.default) == one.default
    assert filled_parameters(name, {}) == workload_class(name).Parameters()
    assert workload_class(name).name == name


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pagse": 1}, "workload 'fileserver' has no parameter 'pagse'"),
        ({"file": 1}, "did you mean 'files'?"),
        ({"files": 0}, "files = 0 is out of range; give a whole number of at least 1"),
        ({"files": 1.5}, "files = 1.5 is not a whole number"),
        ({"zipf": 9}, "zipf = 9 is out of range; give a number from 0 to 5"),
        ({"zipf": "high"}, "zipf = 'high' is not a number"),
        ({"read_mib_s": -0.1}, "read_mib_s = -0.1 is out of range; give a number (MiB/s) of at least 0"),
        ({"own_ranking": 1}, "own_ranking = 1 is neither true nor false"),
        ({"files": True}, "files = True is not a number"),
    ],
)
def test_bad_values_are_refused_in_one_line(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=r"^[^\n]*$") as refused:
        check_parameters("fileserver", values)
    assert said in str(refused.value)


def test_words_are_chosen_from_a_list() -> None:
    assert filled_parameters("phases", {"kind": "zero"}).kind == "zero"
    with pytest.raises(UsageError, match="give one of zero, random, identical, similar, mixed"):
        check_parameters("phases", {"kind": "none"})


def test_an_unknown_workload_is_refused() -> None:
    with pytest.raises(UsageError, match="workload 'web' is unknown; give one of idle, boot, "):
        workload_parameters("web")


def test_numbers_take_the_declared_type() -> None:
    assert filled_parameters("boot", {"read_mib_s": 5}).read_mib_s == 5.0
    assert isinstance(Parameter("x", 1.0, "", "a number").checked(3), float)


def test_a_heap_mix_may_not_exceed_the_whole() -> None:
    with pytest.raises(UsageError, match="must not exceed 1"):
        HeapMix(pointers=0.8, text=0.5)
    with pytest.raises(UsageError, match=r"common \+ similar = 1.1; they must not exceed 1"):
        HeapMix(common=0.6, similar=0.5)
    pages = {"zero_pages", "common", "similar", "zero_tail"}
    pieces = {"pointers", "integers", "text", "freed", "repeated"}
    assert set(parameters_of(HeapMix)) == pages | pieces


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"memory_pages": 100}, "memory of 0.390625 MiB is too small; give at least 4 MiB"),
        ({"aslr": "on"}, "aslr = 'on' is unknown; give one of linux, off, pages, bytes"),
        ({"free_pages": "poison"}, "free_pages = 'poison' is unknown; give one of left, zero_on_free, "),
        ({"jitter": 2.0}, "jitter = 2.0 is out of range"),
    ],
)
def test_a_guest_that_cannot_be_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        GuestSpec(**({"name": "web", "memory_pages": 4096} | options))  # type: ignore[arg-type]
    assert str(refused.value).startswith("guest 'web': ")
    assert said in str(refused.value)
