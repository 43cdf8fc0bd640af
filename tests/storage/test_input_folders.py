"""What a path of an input names: which files of a folder are data, what is a pattern, what is refused by its name; the
same rules for local files and for S3."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.storage.places import Place
from tests.storage.s3_server import open_s3

from shuffle_protocol.errors import AccessDenied, DataError, InputNotFound, InvalidSpec, JobError
from shuffle_worker.storage import LocalStorage, Storage, storage_for, urls, walk
from shuffle_worker.storage.walk import files_below


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with open_s3() as address:
        yield address


@pytest.fixture
def s3(address: str) -> Place:
    return Place.on_s3(address)


@pytest.fixture
def local(tmp_path: Path) -> Place:
    return Place.on_disk(tmp_path)


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Place)
    return made


DATA = [
    "a.parquet",
    "_year=2020/f.parquet",
    ".hidden=1/f.parquet",
    "k=1/_y=2/f.parquet",
    "k=1/sub/f.parquet",
    "k=_x/f.parquet",
    "k=.x/f.parquet",
    "x._COPYING_/f.parquet",
]
HIDDEN = [
    "_SUCCESS",
    "_metadata",
    "_common_metadata",
    ".a.parquet.crc",
    "k=1/_SUCCESS",
    "k=1/.f.parquet.crc",
    "_temporary/0/k=1/f.parquet",
    ".spark-staging-1/k=1/f.parquet",
    ".hive-staging_hive_2026/f.parquet",
    "b.parquet._COPYING_",
    "_x=1",
    ".y=1.parquet",
]


@pytest.mark.parametrize("path", ["", "**", "**/*"])
def test_hidden_names(place: Place, path: str) -> None:
    """As Spark has them, but that no folder of a value is hidden."""
    place.put(*DATA, *HIDDEN)
    assert place.find(path) == sorted(DATA)


def test_wildcards_pass_over_the_same_names(place: Place) -> None:
    place.put(*DATA, *HIDDEN)
    assert place.find("*/f.parquet") == sorted(name for name in DATA if name.count("/") == 1)
    assert place.find("*.parquet") == ["a.parquet"]
    assert place.find("_year=*") == ["_year=2020/f.parquet"]


def test_what_is_named_is_read_though_hidden(place: Place) -> None:
    place.put("_staging/a.parquet", "_x.parquet", ".y.parquet")
    assert place.find("_staging") == ["_staging/a.parquet"]
    assert place.find("_staging/*.parquet") == ["_staging/a.parquet"]
    assert place.find("_x.parquet") == ["_x.parquet"]
    with pytest.raises(InputNotFound, match=r"names that begin with _ or \. do not count"):
        place.find("")


NAMES = [
    "a[1].parquet",
    "a[12].parquet",
    "what?.parquet",
    "star*.parquet",
    "{x}.parquet",
    "d[x]/f.parquet",
    "[",
    "b[!a]c",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_exists_as_written_is_that_path(place: Place, name: str) -> None:
    place.put(*NAMES, "a1.parquet", "whatx.parquet", "starx.parquet", "dx/f.parquet", "bxc")
    assert place.find(name) == [name]
    folder = name.rpartition("/")[0]
    if folder:
        assert place.find(folder) == place.find(f"{folder}/") == [name]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a[1].parquet", ["a1.parquet"]),
        ("a[12].parquet", ["a1.parquet", "a2.parquet"]),
        ("a[!1].parquet", ["a2.parquet", "a^.parquet"]),
        ("a[^1].parquet", ["a1.parquet", "a^.parquet"]),
        ("a?.parquet", ["a1.parquet", "a2.parquet", "a^.parquet"]),
        ("d*/f.parquet", ["d[x]/f.parquet", "dx/f.parquet"]),
        ("d[[]x]/*", ["d[x]/f.parquet"]),
        ("d[x]/*", ["dx/f.parquet"]),
        ("d?", ["dx/f.parquet"]),
        ("**/f.parquet", ["d[x]/f.parquet", "dx/f.parquet"]),
    ],
)
def test_else_it_is_a_pattern(place: Place, pattern: str, expected: list[str]) -> None:
    place.put("a1.parquet", "a2.parquet", "a^.parquet", "d[x]/f.parquet", "dx/f.parquet")
    assert place.find(pattern) == expected


def test_a_class_that_runs_backwards(place: Place) -> None:
    place.put("a1.parquet")
    with pytest.raises(InvalidSpec, match="is no pattern: bad character range"):
        place.find("a[z-a].parquet")


MARKERS = {
    "slash": ["t/", "t/day=1/", "t/empty/"],
    "same name": ["t", "t/day=1"],
    "$folder$": ["t_$folder$", "t/day=1_$folder$", "t/empty_$folder$"],
    "only a value": ["t/day=2", "t/day=2/hour=3"],
    "a fraction": ["t/v=1.5"],
}


@pytest.mark.parametrize("markers", MARKERS.values(), ids=MARKERS)
@pytest.mark.parametrize("path", ["t", "t/", "t/day=1", "t/day=1/", "t/*", "*/day=1", "t/*/*", "t/**"])
def test_markers_of_folders_are_no_files(s3: Place, markers: list[str], path: str) -> None:
    s3.put("t/day=1/a.parquet")
    s3.put(*markers, data=b"")
    assert s3.find(path) == ["t/day=1/a.parquet"]


def test_markers_that_were_copied_to_a_disk(local: Place) -> None:
    local.put("t/day=1/a.parquet")
    local.put("t/day=1_$folder$", "t/x_$folder$", data=b"")
    assert local.find("t") == ["t/day=1/a.parquet"]


def test_an_empty_file_is_no_marker(place: Place) -> None:
    place.put("t/a.parquet")
    place.put("t/b.parquet", "t/000000_0", "t/x=1.csv", data=b"")
    assert place.find("t") == ["t/000000_0", "t/a.parquet", "t/b.parquet", "t/x=1.csv"]
    assert place.find("t/b.parquet") == ["t/b.parquet"]


def test_only_markers_are_nothing(s3: Place) -> None:
    s3.put("t/", "t/day=1", "t/x_$folder$", data=b"")
    with pytest.raises(InputNotFound, match="no files in such a folder"):
        s3.find("t")


def test_a_slash_too_many_is_said(s3: Place) -> None:
    s3.put("t/a.parquet", "u//b.parquet")
    assert s3.find("u/") == s3.find("u//") == ["u//b.parquet"]
    with pytest.raises(InputNotFound, match="the address has an empty name in it"):
        s3.find("/t/a.parquet")


def test_spellings_of_a_local_path(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    local.put("d/a.parquet")
    root = local.folder
    expected = [f"{root}/d/a.parquet"]
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", root)
    absolute = ["d", "/d//", "./d/.", "x/../d", "d/*.parquet", "d/a.parquet"]
    relative = ["d", "./d", "~/d", "d/../d/a.parquet", "d/*", "*", "."]
    schemes = ["", "file:", "file://", "FILE://", "file://localhost", "local://"]
    for path in [*relative, *(f"{scheme}{root}/{name}" for scheme in schemes for name in absolute)]:
        assert [info.path for info in local.storage.find(path)] == expected, path


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n", "S3", "S3A"])
def test_spellings_of_s3(s3: Place, scheme: str) -> None:
    s3.put("d/a.parquet")
    rest = s3.folder.partition("://")[2]
    for path in (
        f"{scheme}://{rest}/d",
        f"{scheme}://{rest}/d/",
        f"{scheme}://{rest}/d/*",
        f"{scheme}://{rest}/d/a.parquet",
    ):
        found = s3.storage.survey(path)
        assert [info.path for info in found.files] == [f"{s3.folder}/d/a.parquet"]
        assert found.folder == f"{s3.folder}/d"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("~nobody-of-that-name/x", "there is no such user"),
        ("file://host/x", "three slashes"),
        ("a\0b", "no NUL"),
    ],
)
def test_paths_that_are_none(path: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        storage_for(path).find(path)


def test_the_folder_above_a_link_is_that_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "far" / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    assert urls.local_path(f"{tmp_path}/link/../f") == f"{tmp_path}/far/f"


# -- local files that are none -----------------------------------------------------------------------------------------


def refused(storage: Storage, path: Path | str) -> JobError:
    with pytest.raises(JobError) as said:
        storage.find(str(path))
    return said.value


@pytest.mark.parametrize("pattern", ["", "*", "**", "sub/*"])
def test_what_is_in_the_way_is_refused_by_name(tmp_path: Path, pattern: str) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.parquet").write_bytes(b"x")
    odd = root / "sub" / "odd"
    cases = [
        (lambda: odd.symlink_to(root / "absent"), InputNotFound, "is a link to .*absent, which does not exist"),
        (lambda: os.mkfifo(odd), DataError, "is a named pipe"),
        (lambda: socket.socket(socket.AF_UNIX).bind(str(odd)), DataError, "is a socket"),
        (lambda: odd.symlink_to("/dev/null"), DataError, "is a device"),
        (lambda: odd.symlink_to(odd), InvalidSpec, "is a link that leads back to itself"),
    ]
    for make, kind, said in cases:
        make()
        error = refused(LocalStorage(), root / pattern if pattern else root)
        assert isinstance(error, kind)
        with pytest.raises(kind, match=f"{odd}: {said}"):
            raise error
        with pytest.raises(kind, match=f"{odd}: {said}"):
            LocalStorage().find(str(odd))
        odd.rename(root / "sub" / "_odd")  # a hidden one is nobody's business
        assert len(LocalStorage().find(str(root))) == 1
        (root / "sub" / "_odd").unlink()


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xe9.parquet", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    assert "no text in UTF-8" in refused(LocalStorage(), tmp_path).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a").write_bytes(b"x")
    try:
        error = refused(LocalStorage(), tmp_path)
        assert isinstance(error, AccessDenied)
        assert f"{tmp_path}/closed" in error.message
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_folder_that_may_not_be_read_as_root_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own answer, given by hand, for tests that run as root."""
    for name in ("closed", "lost+found"):
        (tmp_path / name).mkdir()
    (tmp_path / "a").write_bytes(b"x")
    scan = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name in ("closed", "lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(AccessDenied, match=f"{tmp_path}/closed: permission denied"):
        files_below(str(tmp_path), data=True)
    (tmp_path / "closed").rmdir()
    assert [info.path for info in files_below(str(tmp_path), data=True)] == [f"{tmp_path}/a"]


def test_a_link_is_no_second_file(tmp_path: Path) -> None:
    """`latest` beside the folders of the days, made before or after them."""
    (tmp_path / "dt=1").mkdir()
    (tmp_path / "dt=1" / "a").write_bytes(b"x")
    (tmp_path / "aaa").symlink_to(tmp_path / "dt=1")
    (tmp_path / "zzz").symlink_to(tmp_path / "dt=1")
    (tmp_path / "latest").symlink_to(tmp_path / "dt=1" / "a")
    (tmp_path / "dt=1" / "up").symlink_to(tmp_path)
    assert [info.path for info in LocalStorage().find(str(tmp_path))] == [f"{tmp_path}/dt=1/a"]


def test_links_to_elsewhere_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "deep" / "a").write_bytes(b"x")
    (tmp_path / "far" / "b").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "dt=1").symlink_to(tmp_path / "far" / "deep")
    (root / "b").symlink_to(tmp_path / "far" / "b")
    assert [info.path for info in LocalStorage().find(str(root))] == [f"{root}/b", f"{root}/dt=1/a"]


Made = Callable[[str], Path]


@pytest.fixture
def make(tmp_path: Path) -> Made:
    """`name` makes a file, `name -> target` a link; folders come with them."""

    def made(line: str) -> Path:
        name, _, target = line.partition(" -> ")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(tmp_path / target)
        else:
            path.write_bytes(b"x")
        return path

    return made


@pytest.mark.parametrize(
    ("lines", "pattern", "expected"),
    [
        (["r/dt=1/a", "r/latest -> r/dt=1"], "r/**/latest/*", ["r/latest/a"]),
        (["r/dt=1/a", "r/latest -> r/dt=1"], "r/**/latest", ["r/latest/a"]),
        (["r/dt=1/a", "r/latest -> r/dt=1"], "r/l*", ["r/latest/a"]),
        (["r/dt=1/a", "r/latest -> r/dt=1"], "r/*/a", ["r/dt=1/a"]),
        (["r/dt=1/a", "r/aaa -> r/dt=1", "r/zzz -> r/dt=1"], "r/*", ["r/dt=1/a"]),
        (["r/dt=1/a", "r/aaa -> r/dt=1", "r/zzz -> r/dt=1"], "r/**", ["r/dt=1/a"]),
        (["r/dt=1/a", "r/b -> r/dt=1/a"], "r/**/b", ["r/b"]),
        (["r/dt=1/a", "r/b -> r/dt=1/a"], "r/b*", ["r/b"]),
        (["r/dt=1/a.csv", "r/sub/b.parquet -> r/dt=1/a.csv"], "r/**/*.parquet", ["r/sub/b.parquet"]),
        (["far/a", "far/b.csv", "r/x -> far", "r/y -> far"], "r/**/y/*", ["r/y/a", "r/y/b.csv"]),
        (["far/a", "far/b.csv", "r/x -> far", "r/y -> far"], "r/**", ["r/x/a", "r/x/b.csv"]),
        (["far/a", "far/b.csv", "r/x -> far", "r/y -> far"], "r/*", ["r/x/a", "r/x/b.csv"]),
        (["far/a", "r/deep/x -> far", "r/y -> far"], "r/**", ["r/deep/x/a"]),
        (["far/a", "far/more -> further", "further/b", "r/x -> far"], "r/**/b", ["r/x/more/b"]),
        # round in circles
        (["r/dt=1/a", "r/dt=1/up -> r"], "r/**", ["r/dt=1/a"]),
        (["r/dt=1/a", "r/dt=1/up -> r", "r/dt=1/up2 -> r/dt=1"], "r/*/*", ["r/dt=1/a"]),
        (["r/one/a", "r/two/b", "r/one/x -> r/two", "r/two/x -> r/one"], "r/**", ["r/one/a", "r/two/b"]),
        (["r/one/a", "r/two/b", "r/one/x -> r/two", "r/two/x -> r/one"], "r/**/x/*", ["r/one/x/b", "r/two/x/a"]),
        (["r/a", "r/self -> r/self"], "r/**/a", ["r/a"]),
        (["far/a", "far/back -> far", "r/x -> far"], "r/**", ["r/x/a"]),
        (["top/r/a", "top/r/up -> top", "top/b"], "top/r/**", ["top/r/a", "top/r/up/b"]),
    ],
)
def test_patterns_and_links(tmp_path: Path, make: Made, lines: list[str], pattern: str, expected: list[str]) -> None:
    for line in lines:
        make(line)
    found = LocalStorage().find(f"{tmp_path}/{pattern}")
    assert [info.path for info in found] == [f"{tmp_path}/{name}" for name in expected]


def test_hard_links_are_files_of_their_own(tmp_path: Path, make: Made) -> None:
    make("far/a")
    os.link(tmp_path / "far" / "a", tmp_path / "far" / "b")
    make("r/x -> far")
    os.link(tmp_path / "far" / "a", tmp_path / "r" / "c")
    for pattern in ("r", "r/*", "r/**"):
        found = LocalStorage().find(f"{tmp_path}/{pattern}")
        assert [info.path for info in found] == [f"{tmp_path}/r/{name}" for name in ("c", "x/a", "x/b")]


def test_folders_with_links_to_each_other_come_to_an_end(
    tmp_path: Path, make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MOST_LINKS", 1000)
    names = [f"n{at}" for at in range(8)]
    for one in names:
        make(f"r/{one}/a")
        for other in names:
            if other != one:
                make(f"r/{one}/{other} -> r/{other}")
    with pytest.raises(InvalidSpec, match="links lead from folder to folder in more than 1,000 ways; remove some"):
        LocalStorage().find(f"{tmp_path}/r")


def test_what_no_pattern_asks_for_may_be_anything(tmp_path: Path, make: Made) -> None:
    make("r/sub/a.parquet")
    os.mkfifo(tmp_path / "r" / "sub" / "pipe")
    socket.socket(socket.AF_UNIX).bind(str(tmp_path / "r" / "socket"))
    make("r/loop -> r/loop")
    (tmp_path / "r" / "device").symlink_to("/dev/null")
    with open(os.fsencode(tmp_path) + b"/r/\xe9.csv", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    found = LocalStorage().find(f"{tmp_path}/r/**/*.parquet")
    assert [info.path for info in found] == [f"{tmp_path}/r/sub/a.parquet"]
    make("r/dt=2 -> absent")  # it may have been a folder of what is asked for
    with pytest.raises(InputNotFound, match=r"dt=2: is a link to .*absent, which does not exist"):
        LocalStorage().find(f"{tmp_path}/r/**/*.parquet")
