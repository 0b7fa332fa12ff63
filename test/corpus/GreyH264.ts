import { box, u16, u32, u8, visual } from "./Boxes.ts"

// H.264 written by hand: grey pictures of any size, at eight bits for sixteen pixels squared. The one of 16,384 pixels
// squared has a megabyte, which compresses to nothing, and asks its decoder for half a gigabyte.

const makeBits = () => {
  let text = ""
  const plain = (value: number, width: number) => {
    text += value.toString(2).padStart(width, "0")
  }
  const golomb = (value: number) => {
    const digits = (value + 1).toString(2)
    text += "0".repeat(digits.length - 1) + digits
  }
  /** Whole bytes, after the stop bit or filled up by `rest`. */
  const bytes = (all: string) => Buffer.from(all.match(/.{8}/g)?.map((byte) => parseInt(byte, 2)) ?? [])
  return {
    plain,
    golomb,
    done: () => bytes(text + "1" + "0".repeat((15 - (text.length % 8)) % 8)),
    /** So far, and what does not fill a byte yet. */
    split: () => {
      const whole = text.length - (text.length % 8)
      return { head: bytes(text.slice(0, whole)), rest: text.slice(whole) }
    }
  }
}

/** Inside a NAL unit, two zero bytes and one of up to three need an escape in between. */
const escaped = (bytes: Buffer) => {
  const out: Array<number> = []
  let zeros = 0
  for (const byte of bytes) {
    if (zeros >= 2 && byte <= 3) {
      out.push(3)
      zeros = 0
    }
    out.push(byte)
    zeros = byte === 0 ? zeros + 1 : 0
  }
  return Buffer.from(out)
}

const parameters = (width: number, height: number) => {
  const sps = makeBits()
  // Baseline, level 6.2; log2 of the frame numbers 4; no reference frames beyond one; progressive.
  for (const value of [66, 0xc0, 62]) sps.plain(value, 8)
  for (const value of [0, 0, 2, 1]) sps.golomb(value)
  sps.plain(0, 1)
  sps.golomb(width / 16 - 1)
  sps.golomb(height / 16 - 1)
  sps.plain(0b1100, 4)
  const pps = makeBits()
  pps.golomb(0)
  pps.golomb(0)
  pps.plain(0, 2)
  for (const value of [0, 0, 0]) pps.golomb(value)
  pps.plain(0, 3)
  for (const value of [0, 0, 0]) pps.golomb(value)
  // Deblocking can be told off in the slice; no constrained intra prediction, no redundant pictures.
  pps.plain(0b100, 3)
  return {
    sps: Buffer.concat([u8(0x67), escaped(sps.done())]),
    pps: Buffer.concat([u8(0x68), escaped(pps.done())])
  }
}

const picture = (width: number, height: number, id: number) => {
  const slice = makeBits()
  for (const value of [0, 7, 0]) slice.golomb(value)
  slice.plain(0, 4)
  slice.golomb(id)
  slice.plain(0, 2)
  slice.golomb(0)
  slice.golomb(1)
  const { head, rest } = slice.split()
  // A macroblock: predicted from nothing, no coefficients. 0b00100111, shifted by what the header left over.
  const macroblock = "00100111"
  const shifted = (rest + macroblock).slice(0, 8)
  const next = (macroblock + macroblock).slice(8 - rest.length, 16 - rest.length)
  const count = (width / 16) * (height / 16)
  const body = Buffer.alloc(count, parseInt(next, 2))
  body.writeUInt8(parseInt(shifted, 2), 0)
  const tail = macroblock.slice(8 - rest.length) + "1"
  const end = Buffer.from(tail.padEnd(8, "0").match(/.{8}/g)?.map((byte) => parseInt(byte, 2)) ?? [])
  return Buffer.concat([u8(0x65), escaped(Buffer.concat([head, body, end]))])
}

const unit = (bytes: Buffer) => Buffer.concat([u32(bytes.length), bytes])

/** Grey pictures as an MP4 holds them; the container may claim another size. */
export const greyH264 = (width: number, height: number, pictures: number, claimed = { width, height }) => {
  const { pps, sps } = parameters(width, height)
  const config = box("avcC", u8(1, 66, 0xc0, 62, 0xff, 0xe1), u16(sps.length), sps, u8(1), u16(pps.length), pps)
  return {
    ...claimed,
    samples: Array.from({ length: pictures }, (_, at) => unit(picture(width, height, at % 2))),
    sampleEntry: visual("avc1", Math.min(claimed.width, 65_535), Math.min(claimed.height, 65_535), config)
  }
}

/** A picture of each size in turn, each with its own parameters before it. */
export const changingH264 = (sizes: ReadonlyArray<readonly [number, number]>) => ({
  ...greyH264(320, 240, 0),
  samples: sizes.map(([width, height], at) => {
    const { pps, sps } = parameters(width, height)
    return Buffer.concat([unit(sps), unit(pps), unit(picture(width, height, at % 2))])
  })
})
