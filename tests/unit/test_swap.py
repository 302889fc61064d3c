"""A worker's change from one bundle to another; with Kafka and towers it is in tests/integration."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from ranker.embed import RequestEmbedder
from ranker.errors import BundleError
from ranker.events import CandidateList, ItemUpsert
from ranker.rank import rank
from ranker.store import Pointer, Store
from streams.settings import Settings
from streams.swap import open_bundle
from streams.transport import Part, Run
from streams.wire import decode_ranking, encode
from tests.smallbundle import HashTower, SmallBundle
from tests.unit.records import NoVector, record, withdrawn
from tests.unit.swap_scene import ITEMS, A, B, Scene, a_list, expected, play, until


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_controls_and_late_items_come_along(scene: Scene) -> None:
    async def story() -> None:
        await scene.ask("u", "ghosts")
        await scene.ask("v", "drama")
        vector = RequestEmbedder(scene.a).item_vector(ItemUpsert(item_id="late", text="text"))
        scene.late.apply([record(b"late", encode(vector)), record(b"i3", None)])
        assert await scene.ranking("w") == rank(a_list("w", ITEMS), None, scene.a.model())
        assert (await scene.ranking("u")).unknown_items == 1
        scene.pointer = Pointer(B, [A])
        await until(lambda: scene.agents.serving.model.bundle == B)
        assert (await scene.ranking("u", [*ITEMS, "late"])).unknown_items == 1  # i3 is still deleted
        row = scene.b.items.rows(["late"])
        steering = scene.controls.of(0)["u"]
        again = SmallBundle(version=B, salt="b")
        again.items.put("late", RequestEmbedder(again).quantized_item("text"))
        mine = again.items.scores(again.items.rows(["late"]), steering.values)
        assert scene.b.items.scores(row, steering.values) == mine
        scene.b.items.put("i3", RequestEmbedder(scene.b).quantized_item("i3"))
        for user, text in (("u", "ghosts"), ("v", "drama")):
            assert await scene.ranking(user) == expected(scene.b, user, text)
        assert scene.swapped("taken") == 1

    play(scene, story)


def test_no_list_meets_two_bundles_while_controls_change(scene: Scene) -> None:
    """Lists are ranked all through a slow preparation during which requests come, change and go."""

    async def slowly() -> None:
        await asyncio.sleep(0.003)

    async def story() -> None:
        texts = {f"u{number}": (f"text {number}", 1.0) for number in range(30)}
        for user, (text, created_at) in texts.items():
            await scene.ask(user, text, created_at)
        scene.paused, scene.pointer = slowly, Pointer(B, [A])
        seen, turn = set(), 1
        while scene.agents.serving.model.bundle == A or turn < 40:
            turn += 1
            user, changed = f"u{turn % 30}", f"u{turn * 7 % 35}"
            texts[changed] = f"text of turn {turn}", float(turn)
            await scene.ask(changed, *texts[changed])
            ranking = await scene.ranking(user)
            bundle = {A: scene.a, B: scene.b}[ranking.bundle]
            assert ranking == expected(bundle, user, *texts[user])
            seen.add(ranking.bundle)
            await asyncio.sleep(0.001)
        scene.controls.apply([withdrawn("u1", 1e6)])
        assert (await scene.ranking("u1")).degraded == "no_control"
        assert seen == {A, B}

    play(scene, story)


def test_a_run_that_began_keeps_its_bundle(scene: Scene) -> None:
    """Its one-shot request is still being embedded when the other bundle takes over."""

    async def story() -> None:
        await scene.ask("u", "ghosts")
        began = asyncio.get_running_loop().create_future()

        class Waits(HashTower):
            def embed(self, text: str) -> Any:
                loop.call_soon_threadsafe(began.set_result, None)
                asyncio.run_coroutine_threadsafe(until(lambda: scene.agents.serving.model.bundle == B), loop).result()
                return super().embed(text)

        loop = asyncio.get_running_loop()
        scene.a.request_tower = Waits("a")
        once = CandidateList(
            event_id="once", user_id="w", item_ids=ITEMS, base_scores=[0.0] * 20, created_at=5, request="now"
        )
        records = [record(b"w", encode(once)), record(b"u", encode(a_list("u", ITEMS)))]
        ranked = asyncio.create_task(scene.agents.rank_feed(Run([Part(TP("t", 0), records, 0)], 0)))
        await began
        scene.pointer = Pointer(B, [A])
        outputs = (await ranked).outputs
        assert scene.agents.serving.model.bundle == B
        first, second = (decode_ranking(output.value or b"") for output in outputs)
        assert (first.bundle, second.bundle) == (A, A)
        scene.a.request_tower = HashTower("a")
        assert second == expected(scene.a, "u", "ghosts")

    play(scene, story)


@pytest.mark.parametrize("error", [BundleError("tokenizer.json is damaged"), ZeroDivisionError()])
def test_a_refused_bundle_is_not_tried_again_until_the_pointer_changes(
    scene: Scene, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        await scene.ask("u", "ghosts")
        scene.bundles[B] = error
        scene.pointer = Pointer(B, [A])
        await until(lambda: scene.swapped("refused") == 1)
        await asyncio.sleep(0.05)
        assert scene.loads == [B]
        assert f"bundle {B} is refused, and {A} keeps serving: {error}" in caplog.text
        assert await scene.ranking("u") == expected(scene.a, "u", "ghosts")
        scene.bundles[B] = scene.b
        scene.pointer = Pointer(B, [A], since=2.0)
        await until(lambda: scene.agents.serving.model.bundle == B)
        assert await scene.ranking("u") == expected(scene.b, "u", "ghosts")

    play(scene, story)


def test_what_is_being_made_ready_is_given_up_when_the_pointer_changes(scene: Scene) -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    async def story() -> None:
        await scene.ask("u", "ghosts")
        scene.paused, scene.pointer = for_ever, Pointer(B, [A])
        await until(lambda: scene.loads == [B])
        await asyncio.sleep(0.02)
        scene.pointer = Pointer(A, since=2.0)
        await asyncio.sleep(0.05)
        scene.paused = None
        assert not scene.controls.behind
        assert await scene.ranking("u") == expected(scene.a, "u", "ghosts")
        assert (scene.swapped("taken"), scene.swapped("refused")) == (0, 0)
        scene.pointer = Pointer(B, [A], since=3.0)
        await until(lambda: scene.agents.serving.model.bundle == B)
        assert await scene.ranking("u") == expected(scene.b, "u", "ghosts")

    play(scene, story)


def test_a_text_without_a_vector_is_degraded_and_comes_back_with_the_rollback(scene: Scene) -> None:
    async def story() -> None:
        await scene.ask("u", "ghosts")
        scene.b.request_tower = NoVector()
        scene.pointer = Pointer(B, [A])
        await until(lambda: scene.agents.serving.model.bundle == B)
        ranking = await scene.ranking("u")
        assert (ranking.degraded, ranking.bundle, ranking.item_ids) == ("other_bundle", B, ITEMS)
        scene.pointer = Pointer(A)
        await until(lambda: scene.agents.serving.model.bundle == A)
        assert await scene.ranking("u") == expected(scene.a, "u", "ghosts")

    play(scene, story)


def test_a_pointer_that_cannot_be_read_changes_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        scene.pointer = BundleError("active.json cannot be read")
        await asyncio.sleep(0.05)
        assert scene.agents.serving.model.bundle == A
        scene.pointer = Pointer(B, [A])
        await until(lambda: scene.agents.serving.model.bundle == B)

    with caplog.at_level(logging.WARNING):
        play(scene, story)
    assert len(caplog.records) == 1


def test_a_worker_begins_with_what_was_served_before_a_damaged_bundle(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Store, "__bool__", lambda _: True)
    settings = Settings(bundle=Path("store"))
    scene.bundles[B] = BundleError("damaged")
    scene.pointer = Pointer(B, [A])
    opened: Any = open_bundle(settings)
    assert opened == (scene.a, scene.pointer)
    assert f"bundle {B} is refused: damaged" in caplog.text
    scene.bundles[A] = BundleError("as well")
    with pytest.raises(BundleError, match=r"^damaged$"):
        open_bundle(settings)
