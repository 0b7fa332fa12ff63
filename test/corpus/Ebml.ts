// WebM and Matroska written by hand, element by element.

/** An element with its size in eight bytes, or with one that says "until the end". */
export const element = (id: number, body: Buffer, size: bigint = BigInt(body.length)): Buffer => {
  const name = Buffer.from(id.toString(16), "hex")
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(0x0100000000000000n | size)
  return Buffer.concat([name, length, body])
}

export const unsigned = (id: number, value: number) => {
  const body = Buffer.alloc(8)
  body.writeBigUInt64BE(BigInt(value))
  return element(id, body)
}

export const double = (id: number, value: number) => {
  const body = Buffer.alloc(8)
  body.writeDoubleBE(value)
  return element(id, body)
}

export const text = (id: number, value: string) => element(id, Buffer.from(value, "utf8"))

export const header = element(
  0x1a45dfa3,
  Buffer.concat([
    unsigned(0x4286, 1),
    unsigned(0x42f7, 1),
    unsigned(0x42f2, 4),
    unsigned(0x42f3, 8),
    text(0x4282, "matroska"),
    unsigned(0x4287, 4),
    unsigned(0x4285, 2)
  ])
)

const untilTheEnd = 0x00ffffffffffffffn

export interface Film {
  readonly codec: string
  readonly width: number
  readonly height: number
  /** Milliseconds, and the packet. */
  readonly packets: ReadonlyArray<readonly [number, Buffer]>
  readonly seconds?: number
  /** Elements inside the track, and beside it. */
  readonly inside?: Buffer
  readonly beside?: Buffer
}

const block = ([at, packet]: Film["packets"][number]) => {
  const head = Buffer.from([0x81, 0, 0, 0x80])
  head.writeInt16BE(at, 1)
  return element(0xa3, Buffer.concat([head, packet]))
}

export const matroska = ({ beside, codec, height, inside, packets, seconds = 2, width }: Film): Buffer => {
  const none = Buffer.alloc(0)
  const info = element(0x1549a966, Buffer.concat([unsigned(0x2ad7b1, 1_000_000), double(0x4489, seconds * 1_000)]))
  const picture = element(0xe0, Buffer.concat([unsigned(0xb0, width), unsigned(0xba, height)]))
  const track = element(
    0xae,
    Buffer.concat([
      unsigned(0xd7, 1),
      unsigned(0x73c5, 1),
      unsigned(0x83, 1),
      text(0x86, codec),
      picture,
      inside ?? none
    ])
  )
  const cluster = element(0x1f43b675, Buffer.concat([unsigned(0xe7, 0), ...packets.map(block)]))
  const body = Buffer.concat([info, element(0x1654ae6b, track), beside ?? none, cluster])
  return Buffer.concat([header, element(0x18538067, body, untilTheEnd)])
}

/** A key frame of VP8 that says only how large it is. */
export const vp8Head = (width: number, height: number) => {
  const bytes = Buffer.from([0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0, 0, 0, 0])
  bytes.writeUInt16LE(width, 6)
  bytes.writeUInt16LE(height, 8)
  return Buffer.concat([bytes, Buffer.alloc(4_096, 0x55)])
}
