"""One connection of a node: what comes is kept or refused, and a cut connection leaves nothing."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pydicom
import pytest
from network_objects import KEY, files_below, pixels, small_series
from network_peers import association_with, fragments, running_node, to, wait_until
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medseg.io import incoming
from medseg.io.dicom_net import Destination, Retries, send_objects
from medseg.io.spool import open_spool

ONCE = Retries(attempts=1)
CT = (CTImageStorage, ExplicitVRLittleEndian)


def test_object_that_is_too_large_is_refused(tmp_path):
    small, large = (small_series(tmp_path / name, slices=1, ImageComments="x" * size)[0] for name, size in SIZES)
    with running_node(tmp_path / "spool", KEY, object_bytes=2500) as (node, _):
        outcomes = send_objects([small, large, small], to(node), ONCE)
        assert [one.status for one in outcomes] == [0, 0xA700, 0]
        assert outcomes[1].reason == "the receiver is out of resources (status 0xA700)"
        assert (node.stored, node.refused) == (1, 1)
        assert len(files_below(tmp_path / "spool")) == 1


SIZES = (("small", 1), ("large", 2000))


def test_caller_who_does_not_end_an_object_is_cut_off(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1, ImageComments="x" * 9000)
    with running_node(tmp_path / "spool", KEY, object_bytes=2000) as (node, spool), association_with(node, *CT) as one:
        for part in fragments(one, pydicom.dcmread(path))[:-1]:
            one.dul.send_pdu(part)
        wait_until(lambda: not one.is_established)
        wait_until(lambda: spool.used_bytes == 0)
        assert files_below(tmp_path / "spool") == []


def test_more_objects_a_minute_than_allowed_are_refused(tmp_path):
    paths = small_series(tmp_path / "in", slices=8)
    with running_node(tmp_path / "spool", KEY, objects_a_minute=5) as (node, _):
        statuses = [one.status for one in send_objects(paths, to(node), ONCE)]
        assert statuses == [0] * 5 + [0xA700] * 3
        assert (node.stored, node.refused) == (5, 3)


def test_full_disk_and_full_spool_are_said_and_leave_nothing(tmp_path, monkeypatch):
    paths = small_series(tmp_path / "in", slices=2)
    with running_node(tmp_path / "spool", KEY, most_bytes=2000) as (node, spool):
        assert [one.status for one in send_objects(paths, to(node), ONCE)] == [0, 0xA700]
        used = spool.used_bytes
        monkeypatch.setattr(incoming.os, "fsync", no_space)
        assert [one.status for one in send_objects(paths[:1], to(node), ONCE)] == [0xA700]
        assert spool.used_bytes == used
        assert len(files_below(tmp_path / "spool")) == 1


def test_spool_without_room_for_the_head_of_an_object_keeps_no_empty_file(tmp_path, monkeypatch):
    paths = small_series(tmp_path / "in", slices=3)
    with running_node(tmp_path / "spool", KEY) as (node, spool):
        assert send_objects(paths[:1], to(node), ONCE)[0].stored
        monkeypatch.setattr(spool._quota, "_most", spool.used_bytes)
        assert [one.status for one in send_objects(paths[1:], to(node), ONCE)] == [0xA700, 0xA700]
        assert len(files_below(tmp_path / "spool")) == 1


def no_space(_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_cut_in_the_middle_of_an_object_leaves_nothing(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    with running_node(tmp_path / "spool", KEY) as (node, spool), association_with(node, *CT) as one:
        for part in fragments(one, pydicom.dcmread(path))[:-1]:
            one.dul.send_pdu(part)
        wait_until(lambda: spool.used_bytes > 0)
        assert len(files_below(tmp_path / "spool")) == 1
        one.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: spool.used_bytes == 0)
        assert files_below(tmp_path / "spool") == []
        assert (node.stored, node.refused) == (0, 0)


def test_end_of_the_node_leaves_nothing_half(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    with contextlib.ExitStack() as stack:
        node, spool = stack.enter_context(running_node(tmp_path / "spool", KEY))
        with association_with(node, *CT) as one:
            for part in fragments(one, pydicom.dcmread(path))[:-1]:
                one.dul.send_pdu(part)
            wait_until(lambda: spool.used_bytes > 0)
            stack.close()
        wait_until(lambda: files_below(tmp_path / "spool") == [])
        assert (node.stored, node.refused, spool.used_bytes) == (0, 0, 0)


def test_second_object_before_the_first_is_answered_ends_the_association(tmp_path, monkeypatch):
    paths = small_series(tmp_path / "in", slices=2)
    with running_node(tmp_path / "spool", KEY) as (node, spool), association_with(node, *CT) as one:
        monkeypatch.setattr(spool, "keep", lambda *_: time.sleep(0.3))
        for path in paths:
            for part in fragments(one, pydicom.dcmread(path)):
                one.dul.send_pdu(part)
        wait_until(lambda: not one.is_established)
        wait_until(lambda: spool.used_bytes == 0)
        assert files_below(tmp_path / "spool") == []


@pytest.mark.parametrize(
    ("command", "elements", "status"),
    [
        ({"instance": "1.2.3"}, {}, 0xA900),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, {}, 0xA900),
        ({}, {"StudyInstanceUID": ""}, 0xC000),
    ],
)
def test_object_that_is_not_what_it_should_be_is_refused(tmp_path, command, elements, status):
    (path,) = small_series(tmp_path / "in", slices=1, **elements)
    with running_node(tmp_path / "spool", KEY) as (node, _), association_with(node, *CT) as one:
        assert answer(one, fragments(one, pydicom.dcmread(path), **command)) == status
        assert files_below(tmp_path / "spool") == []


def answer(association, parts) -> int:
    """Status of the answer to a request; the reactor must not take it away."""
    association._reactor_checkpoint.clear()
    wait_until(lambda: association._is_paused)
    for part in parts:
        association.dul.send_pdu(part)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return response.Status


def test_command_that_does_not_end_is_cut_off(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    with running_node(tmp_path / "spool", KEY) as (node, _), association_with(node, *CT) as one:
        part = fragments(one, pydicom.dcmread(path))[0]
        ((context, _),) = part.presentation_data_value_list
        part.presentation_data_value_list[:] = [(context, b"\x01" + bytes(10_000))]
        for _ in range(10):
            one.dul.send_pdu(part)
        wait_until(lambda: not one.is_established)
        assert node.stored == 0
        assert files_below(tmp_path / "spool") == []


def test_request_that_is_no_store_is_not_kept(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    with running_node(tmp_path / "spool", KEY) as (node, _), association_with(node, *CT) as one:
        first, *others = fragments(one, pydicom.dcmread(path))
        ((context, command),) = first.presentation_data_value_list
        find = command.replace(b"\0\0\0\x01\x02\0\0\0\x01\0", b"\0\0\0\x01\x02\0\0\0\x20\0")
        assert find != command
        first.presentation_data_value_list[:] = [(context, find)]
        for part in (first, *others):
            one.dul.send_pdu(part)
        wait_until(lambda: not one.is_established)
        assert files_below(tmp_path / "spool") == []


def test_store_without_a_data_set(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    with running_node(tmp_path / "spool", KEY) as (node, _), association_with(node, *CT) as one:
        first = fragments(one, pydicom.dcmread(path))[0]
        ((context, command),) = first.presentation_data_value_list
        nothing = command.replace(b"\0\0\0\x08\x02\0\0\0\x01\0", b"\0\0\0\x08\x02\0\0\0\x01\x01")
        assert nothing != command
        first.presentation_data_value_list[:] = [(context, nothing)]
        assert answer(one, [first]) == 0xC000


SERVE = """
import sys, time
from pathlib import Path
from medseg.core.pseudonyms import ProjectKey
from medseg.io.dicom_net import NodeSettings, receiving
from medseg.io.spool import open_spool
with open_spool(Path(sys.argv[1]), ProjectKey(bytes(range(32)))) as spool:
    with receiving(NodeSettings("NODE", 0, ("SENDER",)), spool) as node:
        print(node.port, flush=True)
        time.sleep(60)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    paths = small_series(tmp_path / "in", slices=40)
    process = subprocess.Popen([sys.executable, "-c", SERVE, tmp_path / "spool"], stdout=subprocess.PIPE, text=True)
    with process, ThreadPoolExecutor(1) as pool:
        destination = Destination("127.0.0.1", int(process.stdout.readline()), "NODE", "SENDER")
        sending = pool.submit(send_objects, paths, destination, ONCE)
        wait_until(lambda: len(files_below(tmp_path / "spool")) > 4)
        process.kill()
        acknowledged = [one.path for one in sending.result() if one.stored]
    assert 0 < len(acknowledged) < 40
    with open_spool(tmp_path / "spool", KEY):
        kept = pixels(files_below(tmp_path / "spool"))
    sent = pixels(paths)
    assert kept.keys() >= pixels(acknowledged).keys()
    assert all(sent[instance] == content for instance, content in kept.items())
