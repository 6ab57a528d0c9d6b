"""The connections of a thread, and those that threads and processes share."""

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest

from sendgrid_bounces.storage import connections as connections_module
from sendgrid_bounces.storage.connections import ConnectionPool, Connections
from sendgrid_bounces.storage.database import open_storage


def test_threads_connect_concurrently() -> None:
    """A server that hangs delays each thread by a single timeout."""
    barrier = Barrier(2)

    def connect() -> sqlite3.Connection:
        barrier.wait(10)
        return sqlite3.connect(":memory:", check_same_thread=False)

    connections = Connections(connect)
    with ThreadPoolExecutor(2) as pool:
        opened = list(pool.map(lambda _: connections.current(), range(2)))
    assert opened[0] is not opened[1]
    connections.close_all()


class LimitedServer:
    """A server that accepts a number of connections."""

    def __init__(self, most: int) -> None:
        self.most, self.open = most, 0

    def connect(self) -> Mock:
        if self.open >= self.most:
            raise ConnectionRefusedError
        self.open += 1
        return Mock(close=self._close)

    def _close(self) -> None:
        self.open -= 1

    def pool(self) -> ConnectionPool:
        """Return the pool of a process."""
        return ConnectionPool(
            self.connect, lambda error: isinstance(error, ConnectionRefusedError)
        )


def test_threads_share_the_connections_that_a_server_accepts() -> None:
    """Otherwise, idle threads would leave no connection to other threads."""
    server = LimitedServer(2)
    pool = server.pool()

    def use(_: int) -> object:
        with pool, pool:
            connection = pool.current()
            time.sleep(0.001)
            assert pool.current() is connection
        return connection

    with ThreadPoolExecutor(8) as threads:
        used = [*threads.map(use, range(200))]
    assert 1 <= len({*map(id, used)}) <= 2
    assert len(pool) == server.open <= 2
    pool.close_all()
    assert len(pool) == server.open == 0


def test_processes_share_the_connections_that_a_server_accepts(monkeypatch) -> None:
    """A process closes those that it no longer needs."""
    server = LimitedServer(3)
    busy, other = server.pool(), server.pool()
    barrier = Barrier(3)

    def use(_: int) -> None:
        with busy:
            busy.current()
            barrier.wait(10)

    monkeypatch.setattr(connections_module, "MAX_SPARE", 0.1)
    monkeypatch.setattr(connections_module, "MAX_IDLE", 0.5)
    monkeypatch.setattr(connections_module, "CHECK_INTERVAL", 0.05)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(use, range(3)))
    assert len(busy) == server.open == 3
    with other:
        other.current()
        assert len(busy) <= 1
    deadline = time.monotonic() + 10
    while server.open and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server.open


def test_interrupted_use_of_a_connection_closes_it() -> None:
    """The next thread could read the answer to another's query."""
    server = LimitedServer(1)
    pool = server.pool()
    used = []

    def use() -> None:
        with pool:
            used.append(pool.current())
            try:
                with pool:
                    raise KeyboardInterrupt
            finally:
                assert pool.current() is used[0]  # to undo the transaction

    with pytest.raises(KeyboardInterrupt):
        use()
    assert len(pool) == server.open == 0


def test_forked_process_has_connections_of_its_own(monkeypatch) -> None:
    """Two processes would read each other's answers."""
    server = LimitedServer(2)
    pool = server.pool()
    with pool:
        inherited = pool.current()
    monkeypatch.setattr(os, "getpid", lambda: 0)
    with pool:
        assert pool.current() is not inherited
    assert (len(pool), server.open) == (1, 2)  # the parent uses the other


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_interrupted_transaction_is_undone(database_url: str) -> None:
    """The error is that of the interruption."""
    with closing(open_storage(database_url)) as storage:

        def add() -> None:
            storage.accounts.add("acme")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            storage.accounts.transact(add)
        assert not storage.accounts.count()


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_threads_share_the_connections_of_a_user(database_url: str) -> None:
    """Many hosts allow a user few connections, and the server has 32 threads."""
    with closing(open_storage(database_url)) as admin:
        name = f"limited_{os.getpid()}"
        database = urlsplit(database_url).path[1:]
        for text in (
            f"CREATE USER {name}@'%%' IDENTIFIED BY 'p' WITH MAX_USER_CONNECTIONS 2",
            f"GRANT ALL ON `{database}`.* TO {name}@'%%'",
        ):
            admin.engine.execute(text)
        try:
            parts = urlsplit(database_url)
            host = parts.netloc.rpartition("@")[2]
            url = parts._replace(netloc=f"{name}:p@{host}").geturl()
            with closing(open_storage(url)) as storage:
                storage.accounts.add("acme")

                def use(_: int) -> int:
                    return storage.accounts.transact(storage.accounts.count)

                with ThreadPoolExecutor(16) as threads:
                    assert {*threads.map(use, range(300))} == {1}
                assert len(storage.engine.connections) <= 2
        finally:
            admin.engine.execute(f"DROP USER {name}@'%%'")
