"""Which questions of an event loop's tasks go together, and when."""

from __future__ import annotations

import asyncio

import pytest

from cenote.stores.batching import AT_ONCE, MOST, Batching


class Server:
    """Answers the batches of an event loop, each when it is told to."""

    open = True

    def __init__(self):
        self.batches = []

    def ask(self, questions, done):
        self.batches.append((questions, done))
        return True

    def close(self):
        self.open = False

    @property
    def sizes(self):
        return [len(questions) for questions, _ in self.batches]

    def answer(self):
        questions, done = self.batches.pop(0)
        done([f"of {question}" for question in questions])


def fail(questions):
    raise ValueError(questions[0])


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def batching(server):
    return Batching(fail, None, lambda _: server)


async def in_next_tick():
    """Return when all tasks that are ready have gone on, and what they asked last has been sent."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Tasks:
    """Tasks that ask one question after the other until they are cancelled."""

    def __init__(self, batching, server, count):
        self.batching = batching
        self.server = server
        self.under_way = []
        self.tasks = [asyncio.create_task(self.ask(name)) for name in range(count)]

    async def ask(self, name):
        turn = 0
        while True:
            self.under_way.append(len(self.server.batches))
            question = f"{name}:{turn}"
            assert await self.batching.ask(question) == f"of {question}"
            turn += 1

    async def end(self):
        for task in self.tasks:
            task.cancel()
        for ended in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError)


@pytest.mark.parametrize("count", [20, 32, 100])
def test_many_tasks_are_asked_for_in_two_halves_and_no_rest_goes_alone(batching, server, count):
    async def test():
        tasks = Tasks(batching, server, count)
        await in_next_tick()
        for _ in range(20):
            server.answer()
            await in_next_tick()
            assert len(server.batches) == AT_ONCE
            assert min(server.sizes) >= 8
        assert server.sizes == [count // 2, count // 2]
        await tasks.end()

    asyncio.run(test())


def test_one_half_is_sent_before_the_other_tasks_go_on(batching, server):
    async def test():
        tasks = Tasks(batching, server, 32)
        await in_next_tick()
        for _ in range(20):
            server.answer()
            await in_next_tick()
        tasks.under_way.clear()
        server.answer()
        server.answer()
        await in_next_tick()
        assert tasks.under_way == [0] * 16 + [1] * 16
        await tasks.end()

    asyncio.run(test())


def test_fewer_tasks_are_asked_for_in_smaller_halves_soon(batching, server):
    async def test():
        many, few = Tasks(batching, server, 60), Tasks(batching, server, 20)
        await in_next_tick()
        for _ in range(20):
            server.answer()
            await in_next_tick()
        await many.end()
        for _ in range(60):
            server.answer()
            await in_next_tick()
        assert server.sizes == [10, 10]
        await few.end()

    asyncio.run(test())


def test_what_a_few_tasks_ask_goes_at_the_end_of_the_tick(batching, server):
    async def test():
        tasks = Tasks(batching, server, 5)
        await asyncio.sleep(0)
        assert tasks.under_way == [0] * 5
        await asyncio.sleep(0)
        assert server.sizes == [5]
        await tasks.end()

    asyncio.run(test())


def test_not_too_many_go_together_and_all_are_answered(batching, server):
    async def test():
        asked = [batching.ask(str(number)) for number in range(3 * MOST)]
        while not all(future.done() for future in asked):
            assert max(server.sizes, default=0) <= MOST
            if server.batches:
                server.answer()
            await in_next_tick()
        assert [future.result() for future in asked] == [f"of {number}" for number in range(3 * MOST)]

    asyncio.run(test())


def test_what_several_ask_goes_once_and_is_answered_to_each_who_waits_still(batching, server):
    async def test():
        asked = [batching.ask("k") for _ in range(4)]
        asked[0].cancel()
        asked[2].cancel()
        await in_next_tick()
        assert server.sizes == [1]
        server.answer()
        assert [future.cancelled() or future.result() for future in asked] == [True, "of k", True, "of k"]

    asyncio.run(test())


def test_each_who_waits_still_is_told_why_there_is_no_answer():
    async def test():
        batching = Batching(fail, None)
        asked = [batching.ask("k") for _ in range(3)]
        asked[1].cancel()
        await asyncio.wait(asked, timeout=20)
        assert [future.cancelled() or future.exception().args for future in asked] == [("k",), True, ("k",)]

    asyncio.run(test())
