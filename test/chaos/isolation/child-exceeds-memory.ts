// In place of the media child: fills memory, 64 MiB at a time, until it is ended.
const held: Array<Buffer> = []
process.stdin.once("data", () => {
  setInterval(() => held.push(Buffer.alloc(64 * 1024 * 1024, held.length)), 20)
})
