// MP4 written by hand, box by box, so that a file may say whatever an attacker would let it say.

export const u8 = (...values: ReadonlyArray<number>) => Buffer.from(values)

export const u16 = (...values: ReadonlyArray<number>) => {
  const bytes = Buffer.alloc(2 * values.length)
  values.forEach((value, at) => bytes.writeUInt16BE(value, 2 * at))
  return bytes
}

export const u32 = (...values: ReadonlyArray<number>) => {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, at) => bytes.writeUInt32BE(value, 4 * at))
  return bytes
}

export const box = (kind: string, ...parts: ReadonlyArray<Buffer>): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([u32(body.length + 8), Buffer.from(kind, "latin1"), body])
}

/** A box with a version and flags. */
export const full = (kind: string, flags: number, ...parts: ReadonlyArray<Buffer>) => box(kind, u32(flags), ...parts)

const upright = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)

/** Turned by a quarter, as a phone that is held upright writes it. */
export const quarterTurn = u32(0, 0x10000, 0, 0xffff0000, 0, 0, 0, 0, 0x40000000)

/** What a movie is made of. Each member that is named replaces what an honest file would say. */
export interface Movie {
  readonly width: number
  readonly height: number
  readonly samples: ReadonlyArray<Buffer>
  readonly sampleEntry: Buffer
  readonly handler?: string
  readonly timescale?: number
  readonly duration?: number
  readonly matrix?: Buffer
  readonly stts?: Buffer
  readonly stsz?: Buffer
  readonly stco?: (first: number) => Buffer
  readonly ctts?: Buffer
  readonly dref?: Buffer
  readonly edits?: Buffer
  /** Boxes beside the track. */
  readonly beside?: Buffer
}

export const itself = full("dref", 0, u32(1), full("url ", 1))

const track = (movie: Movie, first: number) => {
  const { duration = 30 * movie.samples.length, height, matrix = upright, timescale = 600, width } = movie
  const handler = movie.handler ?? "vide"
  const sizes = movie.samples.map((sample) => sample.length)
  const tables = box(
    "stbl",
    full("stsd", 0, u32(1), movie.sampleEntry),
    movie.stts ?? full("stts", 0, u32(1, movie.samples.length, 30)),
    movie.ctts ?? Buffer.alloc(0),
    full("stsc", 0, u32(1, 1, movie.samples.length, 1)),
    movie.stsz ?? full("stsz", 0, u32(0, sizes.length, ...sizes)),
    movie.stco?.(first) ?? full("stco", 0, u32(1, first))
  )
  const media = box(
    "mdia",
    full("mdhd", 0, u32(0, 0, timescale, duration), u16(0x55c4, 0)),
    full("hdlr", 0, u32(0), Buffer.from(handler, "latin1"), u32(0, 0, 0), u8(0)),
    box(
      "minf",
      handler === "soun" ? full("smhd", 0, u32(0)) : full("vmhd", 1, u32(0, 0)),
      box("dinf", movie.dref ?? itself),
      tables
    )
  )
  const head = full("tkhd", 3, u32(0, 0, 1, 0, duration, 0, 0, 0, 0), matrix, u32(width * 65536, height * 65536))
  return box("trak", head, movie.edits === undefined ? Buffer.alloc(0) : box("edts", movie.edits), media)
}

export const ftyp = box("ftyp", Buffer.from("isom"), u32(512), Buffer.from("isomiso2avc1mp41"))

export const movieHeader = (timescale: number, duration: number) =>
  full("mvhd", 0, u32(0, 0, timescale, duration, 0x10000, 0x01000000, 0, 0), upright, u32(0, 0, 0, 0, 0, 0, 2))

/** The whole file: samples first, as the offset of the first is then known. */
export const mp4 = (movie: Movie): Buffer => {
  const data = box("mdat", ...movie.samples)
  const { duration = 30 * movie.samples.length, timescale = 600 } = movie
  const index = box(
    "moov",
    movieHeader(timescale, duration),
    track(movie, ftyp.length + 8),
    movie.beside ?? Buffer.alloc(0)
  )
  return Buffer.concat([ftyp, data, index])
}

export const visual = (kind: string, width: number, height: number, ...inside: ReadonlyArray<Buffer>) =>
  box(
    kind,
    u32(0),
    u16(0, 1),
    u32(0, 0, 0, 0),
    u16(width, height),
    u32(0x480000, 0x480000, 0),
    u16(1),
    Buffer.alloc(32),
    u16(24, 0xffff),
    ...inside
  )

export const sound = (kind: string, channels: number, bits: number, rate: number) =>
  box(kind, u32(0), u16(0, 1), u32(0, 0), u16(channels, bits, 0, 0), u32(rate * 65536))
