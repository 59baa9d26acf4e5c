"""Faults of disks and of those who handle states: lost, old, exchanged, damaged, full."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

from tests.damaged_files import cut, empty, garble, remove
from tests.faults.processes import name_of
from tests.faults.registry import NothingDone, fault
from tests.faults.world import limited, unlimited

if TYPE_CHECKING:
    from tests.faults.world import World
    from tests.workers import WorkerProcess

_MIB = 1 << 20


def stopped(world: World) -> WorkerProcess:
    """A worker that was killed; the supervisor starts it soon."""
    victim = world.victim()
    victim.kill()
    return victim


@fault("state lost")
def state_lost(world: World) -> str:
    """A new disk."""
    victim = stopped(world)
    shutil.rmtree(world.generation_of(victim), ignore_errors=True)
    return name_of(world, victim)


@fault("store lost")
def store_lost(world: World) -> str:
    """The directory of one partition is deleted."""
    victim = stopped(world)
    stores = world.stores_of(victim)
    if not stores:
        raise NothingDone(f"{name_of(world, victim)} has none")
    store = world.chance.choice(stores)
    shutil.rmtree(store)
    return f"{name_of(world, victim)} {store.name}"


@fault("state of earlier", times=2)
def state_stale(world: World) -> str:
    """Somebody puts back an old copy of a state, of this worker or of another."""
    victim = stopped(world)
    copy = world.chance.choice(world.snapshots)
    shutil.rmtree(world.generation_of(victim), ignore_errors=True)
    shutil.copytree(copy, world.generation_of(victim))
    return f"{name_of(world, victim)} from snapshot {copy.parent.name} of {len(world.snapshots)}"


@fault("store of earlier")
def store_stale(world: World) -> str:
    """One partition is put back, the others are as they were."""
    victim = stopped(world)
    store = world.chance.choice([path for each in world.snapshots for path in each.iterdir()])
    shutil.rmtree(world.generation_of(victim) / store.name, ignore_errors=True)
    shutil.copytree(store, world.generation_of(victim) / store.name)
    return f"{name_of(world, victim)} {store.name} from snapshot {store.parent.parent.name}"


@fault("states of two workers exchanged")
def states_exchanged(world: World) -> str:
    """Two disks end up in each other's machine."""
    one, other = world.chance.sample(world.wanted, 2)
    for worker in (one, other):
        worker.kill()
    spare = world.directory / "exchanged"
    one.state.rename(spare)
    other.state.rename(one.state)
    spare.rename(other.state)
    return f"{name_of(world, one)} and {name_of(world, other)}"


@fault("stores of two partitions exchanged")
def stores_exchanged(world: World) -> str:
    """Somebody gives two directories each other's name."""
    victim = stopped(world)
    kind = world.chance.choice(("histories", "counts", "related"))
    stores = [path for path in world.stores_of(victim) if path.name.startswith(kind)]
    if not stores:
        raise NothingDone(f"{name_of(world, victim)} has no {kind}")
    one = world.chance.choice(stores)
    number = int(one.name.partition("-")[2])
    other = one.with_name(f"{kind}-{(number + 1) % 2}")
    spare = one.with_name("exchanged")
    one.rename(spare)
    if other.exists():
        other.rename(one)
    spare.rename(other)
    return f"{name_of(world, victim)} {one.name} and {other.name}"


@fault("snapshot restored")
def restored(world: World) -> str:
    """A new disk, and a worker that is told of a snapshot."""
    victim = stopped(world)
    shutil.rmtree(world.generation_of(victim), ignore_errors=True)
    snapshot = world.chance.choice(world.snapshots)
    before = list(victim.options)
    victim.options += ["--restore-from", str(snapshot)]
    victim.start()
    victim.options = before
    return f"{name_of(world, victim)} from snapshot {snapshot.parent.name}"


def damage(world: World, files: str) -> str:
    """Damage the largest file of some kind in one store, and no copy of it: snapshots may share it."""
    victim = stopped(world)
    found = [file for store in world.stores_of(victim) for file in store.glob(files) if file.stat().st_size]
    if not found:
        raise NothingDone(f"{name_of(world, victim)} has no {files}")
    file = world.chance.choice(found)
    alone = file.with_suffix(".alone")
    shutil.copyfile(file, alone)
    alone.rename(file)
    how = world.chance.choice((cut, garble, empty, remove))
    how(file)
    return f"{name_of(world, victim)} {how.__name__} {file.parent.name}/{file.name}"


@fault("table damaged", times=2)
def table_damaged(world: World) -> str:
    """An SST."""
    return damage(world, "*.sst")


@fault("manifest damaged")
def manifest_damaged(world: World) -> str:
    """The list of SSTs."""
    return damage(world, "MANIFEST-*")


@fault("CURRENT damaged")
def current_damaged(world: World) -> str:
    """The name of the manifest."""
    return damage(world, "CURRENT")


@fault("write-ahead log damaged", times=2)
def log_damaged(world: World) -> str:
    """The newest commits."""
    return damage(world, "*.log")


@fault("files too large")
def files_too_large(world: World) -> str:
    """Writes fail beyond a size, as with a quota."""
    victim = world.victim()
    if not victim.running:
        raise NothingDone("nobody runs")
    limit = world.chance.choice((1_000, 100_000, _MIB))
    limited(victim, resource.RLIMIT_FSIZE, limit)
    world.pause(world.chance.uniform(1, 4))
    if victim.running:
        unlimited(victim, resource.RLIMIT_FSIZE)
    return f"{name_of(world, victim)} at {limit:,} bytes"


def can_mount() -> bool:
    """Whether this machine lets us mount a file system."""
    with tempfile.TemporaryDirectory() as probe:
        try:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", probe], capture_output=True, check=False)
        except FileNotFoundError:
            return False
        if mounted.returncode == 0:
            subprocess.run(["umount", probe], check=True)
        return mounted.returncode == 0


def disk_full(world: World) -> str:
    """A small disk for a while, which something else fills."""
    victim = stopped(world)
    world.unwant(victim)
    kept = victim.state.with_name("kept")
    victim.state.rename(kept)
    victim.state.mkdir()
    used = sum(file.stat().st_size for file in kept.rglob("*") if file.is_file()) // _MIB + 1
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + 24}m", "tmpfs", victim.state], check=True)
    try:
        shutil.copytree(kept, victim.state, dirs_exist_ok=True)
        world.want(victim)
        world.pause(world.chance.uniform(3, 6))
        with (victim.state / "ballast").open("wb", buffering=0) as ballast:  # else closing it would write, and fail
            try:
                while True:
                    ballast.write(bytes(1 << 14))
            except OSError:
                world.pause(world.chance.uniform(1, 4))
        (victim.state / "ballast").unlink()
        world.pause(world.chance.uniform(0, 3))
    finally:
        victim.kill()
        shutil.rmtree(kept)
        shutil.copytree(victim.state, kept)
        subprocess.run(["umount", victim.state], check=True)
        victim.state.rmdir()
        kept.rename(victim.state)
    return f"{name_of(world, victim)} of {used + 24} MiB"


if can_mount():
    fault("disk full")(disk_full)
