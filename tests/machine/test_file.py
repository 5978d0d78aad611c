"""The shared file and its directory: whose they are, where they may lie, and what is done with what is found there."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import subprocess
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.mounts import mounted_in_memory

from cenote import ConfigurationError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine import directory as machine_directory
from cenote.invalidation.machine import file as machine_file
from cenote.invalidation.machine import log as machine_log
from cenote.invalidation.machine import prepare_directory
from cenote.invalidation.machine.layout import FILE_BYTES, HEAD, RECORDS_AT, SERVICES_AT, VERSION, Word
from cenote.invalidation.machine.log import MachineLog

CLEAR = Record(kind=RecordKind.CLEAR, cache="shop")


def used(path, *, records=3):
    """Leave a file behind that was used."""
    log = MachineLog(path, settle=0)
    for _ in range(records):
        log.append(CLEAR)
    incarnation = log.incarnation
    log.close()
    return incarnation


def written(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def with_head(path, **changes):
    """Write another head, with the right check."""
    names = ("magic", "version", "size", "incarnation", "boot", "made_at", "place")
    fields = list(HEAD.unpack(path.read_bytes()[: HEAD.size]))
    for name, value in changes.items():
        fields[names.index(name)] = value
    head = HEAD.pack(*fields)
    written(path, 0, head + zlib.crc32(head).to_bytes(4, "little"))


# Whose it is


def test_a_new_directory_and_its_files_are_for_their_owner_alone(tmp_path, open_manager):
    former = os.umask(0)
    try:
        directory = tmp_path / "new" / "shared"
        open_manager(f"memory://{directory}")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()} == {0o600}
    finally:
        os.umask(former)


def test_a_file_has_all_its_blocks_and_nothing_is_left_beside_it(open_log, path):
    open_log()
    status = path.stat()
    assert status.st_size == FILE_BYTES
    assert status.st_blocks * 512 >= FILE_BYTES
    assert sorted(each.name for each in path.parent.iterdir()) == ["cenote.cenote", "cenote.cenote.bell-0"]


def test_what_a_killed_maker_left_is_removed_by_the_next(open_log, path):
    left = path.with_name(f"{path.name}.new-0123")
    left.touch()
    open_log()
    assert not left.exists()


def test_closing_takes_the_bell_down_and_leaves_the_file(open_log, path):
    open_log().close()
    assert [each.name for each in path.parent.iterdir()] == ["cenote.cenote"]


def test_a_directory_that_is_open_to_others_is_refused_with_the_command_that_mends_it(directory, open_manager):
    for mode in (0o755, 0o750, 0o701, 0o777):
        directory.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"chmod 700 {directory}"):
            open_manager()
    assert list(directory.iterdir()) == []


def test_a_file_that_is_open_to_others_is_refused(path, open_log):
    used(path)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="with mode 600; remove it"):
        open_log()


def test_a_symbolic_link_in_the_files_place_is_refused_and_its_target_is_left_alone(path, open_log, tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    path.symlink_to(target)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        open_log()
    assert target.read_text() == "precious"


def test_a_directory_in_the_files_place_is_refused(path, open_log):
    path.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="cannot be opened or made"):
        open_log()


def test_a_pipe_in_the_files_place_is_refused(path, open_log):
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError, match="no file of this user's own"):
        open_log()


def test_a_symbolic_link_to_a_directory_is_followed_to_one_log(directory, tmp_path, open_manager):
    link = tmp_path / "link"
    link.symlink_to(directory)
    one, other = open_manager(), open_manager(f"memory://{link}")
    assert one._log.path == other._log.path
    one.service("shop").set("k", 1)
    assert other.service("shop").clear().entries_cleared == 1


@pytest.mark.root
def test_a_file_of_another_user_is_refused(path, open_log):
    used(path)
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigurationError, match="no file of this user's own"):
        open_log()


@pytest.mark.root
def test_a_directory_of_another_user_is_refused(directory, open_manager):
    os.chown(directory, 12345, -1)
    with pytest.raises(ConfigurationError, match="belongs to user 12345"):
        open_manager()


@pytest.fixture
def mounted(tmp_path):
    """Mount a small file system in memory."""
    with contextlib.ExitStack() as mounts:

        def mount(options):
            point = tmp_path / "mounted"
            point.mkdir()
            mounts.enter_context(mounted_in_memory(point, options))
            return point

        yield mount


@pytest.mark.mounts
def test_a_full_disk_is_a_clear_error_and_leaves_nothing_behind(mounted, open_manager):
    point = mounted("size=4m,mode=700")
    with pytest.raises(ConfigurationError, match="cannot be opened or made: No space left"):
        open_manager(f"memory://{point}")
    assert list(point.iterdir()) == []


@pytest.mark.mounts
def test_a_read_only_directory_is_a_clear_error(mounted, open_manager):
    point = mounted("size=40m,mode=700")
    subprocess.run(["mount", "-o", "remount,ro", point], check=True)
    with pytest.raises(ConfigurationError, match="Read-only"):
        open_manager(f"memory://{point}")


# What is found there


def cut_short(path):
    os.truncate(path, FILE_BYTES // 2)


def empty(path):
    os.truncate(path, 0)


def too_long(path):
    os.truncate(path, FILE_BYTES + 8)


def another_magic(path):
    with_head(path, magic=b"SQLite f")


def another_boot(path):
    with_head(path, boot=bytes(16))


def damaged_head(path):
    written(path, 20, b"\xff")


def damaged_number(path):
    written(path, 8 * Word.HEAD + 3, b"\xff")


def damaged_last_record(path):
    written(path, RECORDS_AT + 2 * 256 + 8, b"\xff")


def damaged_name(path):
    written(path, SERVICES_AT + 128 + 2, b"\xff")


def damaged_floor(path):
    written(path, SERVICES_AT + 128 + 80, b"\xff")


DAMAGES = [
    cut_short,
    empty,
    too_long,
    another_magic,
    another_boot,
    damaged_head,
    damaged_number,
    damaged_last_record,
    damaged_name,
    damaged_floor,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_file_that_was_damaged_is_made_anew_and_the_log_says_so(open_log, path, caplog, damage):
    before = used(path)
    damage(path)
    log = open_log()
    assert log.incarnation != before
    assert log.head == 0
    assert "all that was cached is forgotten" in caplog.text
    assert log.append(CLEAR) == 1
    assert log.floor("shop", soft=False) == 1


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bits_are_found_or_do_no_harm(path, seed):
    """Whatever was flipped: the log attaches, its numbers grow, and no record is missing from what it gives."""
    chances = random.Random(seed)
    used(path)
    for _ in range(chances.randrange(1, 40)):
        place = chances.choice((HEAD.size, 4096, SERVICES_AT + 300, RECORDS_AT + 900, FILE_BYTES))
        written(path, chances.randrange(place), bytes([chances.randrange(256)]))
    try:
        log = MachineLog(path, settle=0)
    except ConfigurationError as error:
        assert "format version" in str(error)  # noqa: PT017  # one of several outcomes
        return
    try:
        head = log.head
        first = log.append(CLEAR)
        second = log.append(Record(kind=RecordKind.KEY, cache="shop", covered=("k",)))
        assert (first, second) == (head + 1, head + 2)
        records = log.since(head)
        assert records is None or [record.sequence for record in records] == [first, second]
    finally:
        log.close()


def test_a_file_of_another_format_version_is_refused_and_left_as_it_was(open_log, path):
    used(path)
    with_head(path, version=VERSION + 6)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"format version {VERSION + 6}.*uses {VERSION}"):
        open_log()
    assert path.read_bytes() == before


def test_a_sound_file_of_the_same_boot_is_gone_on_with(open_log, path):
    before = used(path)
    log = open_log()
    assert log.incarnation == before
    assert log.head == 3
    assert log.append(CLEAR) == 4


def test_a_clear_soon_after_the_file_was_made_waits_for_those_who_have_an_older_one_open(open_log, monkeypatch):
    log = open_log(settle=0.2)
    naps, moments = [], [log.membership.file.made_at + after for after in (0.05, 0.2)]
    clock = SimpleNamespace(time=time.time, monotonic=lambda: moments.pop(0), sleep=naps.append)
    monkeypatch.setattr(machine_log, "time", clock)
    for _ in range(2):
        log.confirm(log.append(CLEAR))
    assert naps == [pytest.approx(0.15)]
    assert moments == []


# Where it may lie


@pytest.mark.parametrize(("path", "kind"), [("/proc/self/task", "proc"), ("/sys/kernel", "sysfs")])
@pytest.mark.root
def test_a_file_system_where_shared_memory_may_not_work_is_refused_by_name(path, kind, monkeypatch):
    assert machine_directory.file_system_of(Path(path)) == kind
    monkeypatch.setattr(machine_directory.stat, "S_IMODE", lambda mode: 0o700)
    with pytest.raises(ConfigurationError, match=f"lies on {kind}"):
        prepare_directory(Path(path))


MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
25 22 0:22 / /proc rw - proc proc rw
30 22 0:28 / /srv/with\040space rw,nosuid master:1 - nfs4 server:/x rw
31 22 0:29 / /srv rw - xfs /dev/vdb rw
32 31 0:30 / /srv/deep rw - btrfs /dev/vdc rw
33 31 0:31 / /srv/deep rw - fuse.sshfs host: rw
34 22 0:32 / /srv/deeper\011tab rw - tmpfs tmpfs rw
35 22 0:33 / /caf\303\251 rw - 9p host rw
36 22 0:34 / /straße rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/somebody", "ext4"),
        ("/proc/1", "proc"),
        ("/srv/with space/a", "nfs4"),
        ("/srv/with", "xfs"),
        ("/srv/deep", "fuse.sshfs"),
        ("/srv/deep/er", "fuse.sshfs"),
        ("/srv/deeper", "xfs"),
        ("/srv/deeper\ttab/x", "tmpfs"),
        ("/straße/x", "overlay"),
    ],
)
def test_the_deepest_and_latest_mount_says_the_file_system(tmp_path, path, kind):
    source = tmp_path / "mountinfo"
    source.write_text(MOUNTS.strip())
    assert machine_directory._from_mountinfo(Path(path), source) == kind


def test_a_file_system_that_cannot_be_told_is_refused(tmp_path, monkeypatch):
    assert machine_directory._from_mountinfo(Path("/"), tmp_path / "nothing") is None
    monkeypatch.setattr(machine_directory, "file_system_of", lambda path: None)
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigurationError, match="an unknown file system"):
        prepare_directory(tmp_path)


def test_file_systems_over_a_network_or_of_a_virtual_machines_host_are_not_on_the_list():
    assert not machine_directory.FILE_SYSTEMS & {"nfs", "nfs4", "cifs", "smb3", "fuse", "fuseblk", "9p", "virtiofs"}


def test_a_temporary_directory_of_the_machine_is_good(directory):
    assert prepare_directory(directory) == directory.resolve()


def test_the_boot_is_known_here_or_all_zero():
    assert len(machine_file._boot()) == 16
