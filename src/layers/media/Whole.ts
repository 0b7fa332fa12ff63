// Part of the child program (see Detectors.ts).
import { readSync } from "node:fs"

/** Where a child finds the video: opened by the engine, so that it needs no right to open any file of the server's. */
export const videoFd = 3

/** Bytes at a place, fewer where the file ends. */
export const readAt = (file: number, at: number, length: number): Buffer => {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, readSync(file, bytes, 0, length, at))
}

// Files of a live recorder hold a box per second; more than this is no video that anybody waits for.
const mostBoxes = 10_000

/** Where the last of MP4's outer boxes says that it ends. Junk after them, which some cameras write, says nothing. */
const endOfBoxes = (file: number, size: number): number => {
  let at = 0
  for (let count = 0; count < mostBoxes && at < size; count++) {
    const head = readAt(file, at, 16)
    if (head.length < 8 || !/^[a-z]{4}$/.test(head.toString("latin1", 4, 8))) return at
    const short = head.readUInt32BE(0)
    // 1: the size follows in 64 bits. 0: the box lasts until the end.
    if (short === 0 || (short === 1 && head.length < 16)) return size
    const length = short === 1 ? Number(head.readBigUInt64BE(8)) : short
    if (length < 8) return at
    at += length
  }
  return at
}

/** An element's body and end, by its header; Infinity where its size is left open. */
export const element = (head: Buffer, at: number): { readonly body: number; readonly end: number } | null => {
  const idLength = Math.clz32(head.readUInt8(0)) - 23
  const first = idLength < 1 || idLength > 4 || head.length <= idLength ? 0 : head.readUInt8(idLength)
  const width = first === 0 ? 9 : Math.clz32(first) - 23
  if (width > 8 || head.length < idLength + width) return null
  const bits = BigInt(`0x${head.toString("hex", idLength, idLength + width)}`) & ((1n << BigInt(7 * width)) - 1n)
  const body = at + idLength + width
  return { body, end: bits === (1n << BigInt(7 * width)) - 1n ? Infinity : body + Number(bits) }
}

/** Where Matroska's segment, which follows its header and holds all the rest, says that it ends. */
const endOfSegment = (file: number): number => {
  const start = readAt(file, 0, 16)
  const header = start.length < 16 ? null : element(start, 0)
  if (header === null || header.end > 4_096) return 0
  const head = readAt(file, header.end, 16)
  const segment = head.length < 5 || head.readUInt32BE(0) !== 0x18538067 ? null : element(head, header.end)
  return segment === null || segment.end === Infinity ? 0 : segment.end
}

/**
 * How many bytes of a video are not there, by its outermost headers: a decoder that meets the end of the file early cannot
 * tell it from the end of the video. 0 also where the file does not say.
 */
export const bytesMissing = (file: number, size: number, kind: "mp4" | "matroska"): number =>
  Math.max(0, (kind === "mp4" ? endOfBoxes(file, size) : endOfSegment(file)) - size)
