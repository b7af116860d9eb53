// Forwards connections to a port of this machine, in a process of its own, so that a test can freeze it: the kernel goes on to accept
// connections for a frozen process, which neither reads nor answers. Prints its port.
import { connect, createServer } from 'node:net';

const port = Number(process.argv[2]);
const server = createServer((outer) => {
  const inner = connect({ port, host: '127.0.0.1' });
  outer.pipe(inner).pipe(outer);
  for (const [socket, other] of [
    [outer, inner],
    [inner, outer],
  ])
    socket.on('error', () => undefined).once('close', () => other.destroy());
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
