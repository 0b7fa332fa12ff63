// Part of the child program (see Detectors.ts).
import type { Container } from "../../domain/MediaFacts.ts"
import { element, readAt } from "./Whole.ts"

/** What a brand of MP4's file type box stands for; null where it says how the file was made, or nothing that is known. */
const meaningOf = (brand: string): Container | null => {
  if (brand === "qt  ") return "mov"
  if (brand.startsWith("3g2")) return "3g2"
  if (brand.startsWith("3g")) return "3gp"
  if (/^M4[AB]/.test(brand)) return "m4a"
  if (/^mj(p2|2s)$/.test(brand)) return "mj2"
  return /^(iso[m2-9a-c]|mp4[12]|mp71|avc[1-4]|M4V)/.test(brand) ? "mp4" : null
}

/** The major brand decides, and where nobody knows it, the first known one of those that the file is compatible with. */
export const containerOfBrands = (brands: ReadonlyArray<string>): Container => {
  for (const brand of brands) {
    const meaning = meaningOf(brand)
    if (meaning !== null) return meaning
  }
  return "mp4"
}

// Boxes that may stand before the file type; one that holds the movie ends the search.
const mostBoxes = 16
const mostBrands = 64

/** QuickTime wrote no file type at all before it took MP4's. */
const isoContainer = (file: number): Container => {
  let at = 0
  for (let count = 0; count < mostBoxes; count++) {
    const head = readAt(file, at, 16 + 4 * mostBrands)
    if (head.length < 16) return "mov"
    const length = head.readUInt32BE(0)
    const kind = head.toString("latin1", 4, 8)
    if (kind === "ftyp") {
      const body = head.toString("latin1", 8, Math.min(length, head.length))
      // Four letters each; the second of them is the major brand's version.
      const [major = "", , ...compatible] = body.match(/[^]{4}/g) ?? []
      return containerOfBrands([major, ...compatible])
    }
    if (kind === "moov" || kind === "mdat" || length < 8) return "mov"
    at += length
  }
  return "mov"
}

const docType = 0x4282
const largestHeader = 4_096

const ebmlContainer = (file: number): Container => {
  const bytes = readAt(file, 0, largestHeader)
  const header = bytes.length < 5 ? null : element(bytes, 0)
  let at = header?.body ?? Infinity
  const end = Math.min(header?.end ?? 0, bytes.length)
  while (at < end - 2) {
    const child = element(bytes.subarray(at), at)
    if (child === null || child.end > end) break
    if (bytes.readUInt16BE(at) === docType) {
      return bytes.toString("latin1", child.body, child.end).replace(/\0+$/, "") === "webm" ? "webm" : "matroska"
    }
    at = child.end
  }
  // What says nothing is Matroska by its specification.
  return "matroska"
}

/** What the file says that it is, among what this demuxer reads. */
export const containerOf = (file: number, demuxer: string): Container =>
  demuxer.includes("matroska") ? ebmlContainer(file) : isoContainer(file)
