"""A wire between us and a server, which can be cut or fall silent without touching the server."""

import asyncio


class Relay:
    """Listens on ``port`` and passes everything on to ``behind``, unless it was told to leave or to hang."""

    def __init__(self, port: int, behind: int) -> None:
        self.port = port
        self.behind = behind
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    async def open(self) -> None:
        """Listen, and let everything through."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def hang(self) -> None:
        """Accept, and pass nothing on either way."""
        self._flows.clear()

    async def close(self) -> None:
        """Cut all connections and listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            await self._flows.wait()
            # It may have come in at the moment at which we left.
            if self._server is None:
                return
            back, far = await asyncio.open_connection("127.0.0.1", self.behind)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, far))
                group.create_task(self._pass(back, writer))
        except* OSError:
            pass
        finally:
            for one in (writer, far):
                if one is not None:
                    # Reset, so that the port can be listened on again at once and nothing waits for the other side.
                    one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
