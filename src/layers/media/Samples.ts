// Part of the child program (see Detectors.ts).
import {
  AV_SAMPLE_FMT_DBL,
  AV_SAMPLE_FMT_DBLP,
  AV_SAMPLE_FMT_FLT,
  AV_SAMPLE_FMT_FLTP,
  AV_SAMPLE_FMT_S16,
  AV_SAMPLE_FMT_S16P,
  AV_SAMPLE_FMT_S32,
  AV_SAMPLE_FMT_S32P,
  AV_SAMPLE_FMT_U8,
  AV_SAMPLE_FMT_U8P
} from "node-av/constants"
import type { Frame } from "node-av/lib"
import type { Channel } from "./Detectors.ts"

interface Layout {
  readonly view: (plane: Uint8Array) => ArrayLike<number>
  readonly full: number
  readonly zero: number
  /** A plane for each channel, or one for all with their samples in turn. */
  readonly planar: boolean
}

const typed = <A>(
  Kind: { new(buffer: ArrayBufferLike, offset: number, length: number): A; readonly BYTES_PER_ELEMENT: number }
) =>
(plane: Uint8Array) => new Kind(plane.buffer, plane.byteOffset, Math.floor(plane.byteLength / Kind.BYTES_PER_ELEMENT))

const both = (
  one: number,
  planes: number,
  layout: Omit<Layout, "planar">
): ReadonlyArray<readonly [number, Layout]> => [
  [one, { ...layout, planar: false }],
  [planes, { ...layout, planar: true }]
]

const layouts = new Map<number, Layout>([
  ...both(AV_SAMPLE_FMT_FLT, AV_SAMPLE_FMT_FLTP, { view: typed(Float32Array), full: 1, zero: 0 }),
  ...both(AV_SAMPLE_FMT_DBL, AV_SAMPLE_FMT_DBLP, { view: typed(Float64Array), full: 1, zero: 0 }),
  ...both(AV_SAMPLE_FMT_S16, AV_SAMPLE_FMT_S16P, { view: typed(Int16Array), full: 2 ** 15, zero: 0 }),
  ...both(AV_SAMPLE_FMT_S32, AV_SAMPLE_FMT_S32P, { view: typed(Int32Array), full: 2 ** 31, zero: 0 }),
  ...both(AV_SAMPLE_FMT_U8, AV_SAMPLE_FMT_U8P, { view: (plane) => plane, full: 2 ** 7, zero: 2 ** 7 })
])

/** The samples of a frame of sound as they lie in it, or null where their format is one that no decoder of ours makes. */
export const channelsOf = (frame: Frame): ReadonlyArray<Channel> | null => {
  const layout = layouts.get(frame.format)
  if (layout === undefined) return null
  const { full, planar, view, zero } = layout
  const planes = (frame.extendedData ?? frame.data ?? []).map(view)
  const count = frame.channels
  return Array.from({ length: count }, (_, at) => ({
    values: planes[planar ? at : 0] ?? [],
    first: planar ? 0 : at,
    step: planar ? 1 : count,
    full,
    zero
  }))
}
