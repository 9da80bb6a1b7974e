"""An asyncio server: one line in, the computed answer out."""
import asyncio

import ctl


def aio_compute(number):
    return sum(value * value for value in range(number % 50 + 10))


async def aio_answer(line):
    await asyncio.sleep(0.001)
    return aio_compute(int(line))


async def aio_client(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            break
        writer.write(b"%d\n" % await aio_answer(line))
        await writer.drain()
    writer.close()


async def aio_main():
    server = await asyncio.start_server(aio_client, "127.0.0.1", 0)
    ctl.control.put(ctl.AUX, server.sockets[0].getsockname()[1])
    ctl.ready()
    while not ctl.quitting():
        await asyncio.sleep(0.02)
        ctl.tick()
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(aio_main())
    ctl.finish()
