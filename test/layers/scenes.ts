import { Encoder, Muxer } from "node-av/api"
import { AV_PIX_FMT_YUV420P, FF_ENCODER_LIBX264 } from "node-av/constants"
import { Frame } from "node-av/lib"

/** What a clip shows. Two clips with equal numbers here but another `text` are the same template with other words. */
export interface Scene {
  readonly seed: number
  readonly seconds: number
  /** Places that the camera shows one after another. */
  readonly shots: number
  /** How fast the camera moves; 0 for a camera on a stand. */
  readonly pan: number
  /** Things that move through the picture. */
  readonly things: number
  /** Grain of the sensor, in grey levels. */
  readonly grain: number
  readonly text: string
}

export const sceneFps = 15
export const sceneWidth = 320
export const sceneHeight = 180

/** Numbers from 0 to 1 that follow from their seed (a 32-bit mix, as in MurmurHash3's end). */
export const randoms = (seed: number) => {
  let state = Math.imul(seed + 1, 0x9e3779b1)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
  }
}

const place = { width: 512, height: 320 }

/** A picture of the world: soft shapes of several sizes, a horizon, some straight edges. */
const drawPlace = (random: () => number): Float32Array => {
  const out = new Float32Array(place.width * place.height).fill(70 + random() * 90)
  for (const [cells, height] of [[3, 60], [7, 40], [15, 24], [40, 12]] as const) {
    const grid = Float32Array.from({ length: (cells + 1) * (cells + 1) }, () => (random() - 0.5) * 2 * height)
    for (let y = 0; y < place.height; y++) {
      const gy = (y / place.height) * cells
      const y0 = Math.floor(gy)
      for (let x = 0; x < place.width; x++) {
        const gx = (x / place.width) * cells
        const x0 = Math.floor(gx)
        const at = y0 * (cells + 1) + x0
        const top = (grid[at] ?? 0) * (1 - gx + x0) + (grid[at + 1] ?? 0) * (gx - x0)
        const low = (grid[at + cells + 1] ?? 0) * (1 - gx + x0) + (grid[at + cells + 2] ?? 0) * (gx - x0)
        out[y * place.width + x] = (out[y * place.width + x] ?? 0) + top * (1 - gy + y0) + low * (gy - y0)
      }
    }
  }
  for (let wall = 0; wall < 4; wall++) {
    const [left, top] = [random() * place.width, random() * place.height]
    const [right, bottom] = [left + 20 + random() * 150, top + 20 + random() * 120]
    const shade = (random() - 0.5) * 110
    for (let y = Math.floor(top); y < Math.min(place.height, bottom); y++) {
      for (let x = Math.floor(left); x < Math.min(place.width, right); x++) {
        out[y * place.width + x] = (out[y * place.width + x] ?? 0) + shade
      }
    }
  }
  return out
}

const makeThing = (random: () => number) => ({
  x: random() * sceneWidth,
  y: random() * sceneHeight,
  size: 10 + random() * 35,
  speedX: (random() - 0.5) * 90,
  speedY: (random() - 0.5) * 50,
  shade: random() < 0.5 ? 20 + random() * 50 : 180 + random() * 50,
  round: random() < 0.5
})

const makeShot = (random: () => number, pan: number, things: number) => ({
  view: drawPlace(random),
  x: 40 + random() * 100,
  y: 20 + random() * 90,
  driftX: (random() - 0.5) * 30 * pan,
  driftY: (random() - 0.5) * 14 * pan,
  shake: random() * 1.5 * pan,
  things: Array.from({ length: things }, () => makeThing(random))
})

// Letters as five rows of three dots, made from their code: words look like writing, and different words differ.
const letterDot = (code: number, column: number, row: number) =>
  ((Math.imul(code, 0x9e3779b1) >>> 8) >>> (row * 3 + column)) % 2 === 1

const writeText = (picture: Float32Array, text: string) => {
  const dot = 4
  for (let at = 0; at < text.length; at++) {
    for (let row = 0; row < 5 * dot; row++) {
      for (let column = 0; column < 3 * dot; column++) {
        const x = 16 + at * 4 * dot + column
        const on = text[at] !== " " && letterDot(text.charCodeAt(at), Math.floor(column / dot), Math.floor(row / dot))
        if (on && x < sceneWidth) picture[(140 + row) * sceneWidth + x] = 235
      }
    }
  }
}

const between = (low: number, value: number, high: number) => Math.max(low, Math.min(high, value))

/** The light of each picture of a scene, one after another. */
export const draw = function*(scene: Scene): Generator<Uint8Array> {
  const random = randoms(scene.seed)
  const shots = Array.from({ length: scene.shots }, () => makeShot(random, scene.pan, scene.things))
  const grain = randoms(scene.seed + 0x5eed)
  const frames = Math.round(scene.seconds * sceneFps)
  const picture = new Float32Array(sceneWidth * sceneHeight)
  for (let frame = 0; frame < frames; frame++) {
    const shot = shots[Math.floor((frame * shots.length) / frames)]
    if (shot === undefined) return
    const time = frame / sceneFps
    const left = Math.round(between(0, shot.x + shot.driftX * time + shot.shake * Math.sin(time * 9), 190))
    const top = Math.round(between(0, shot.y + shot.driftY * time + shot.shake * Math.cos(time * 7), 138))
    for (let y = 0; y < sceneHeight; y++) {
      const from = (top + y) * place.width + left
      picture.set(shot.view.subarray(from, from + sceneWidth), y * sceneWidth)
    }
    for (const { round, shade, size, speedX, speedY, ...at } of shot.things) {
      const centreX = (((at.x + speedX * time) % sceneWidth) + sceneWidth) % sceneWidth
      const centreY = (((at.y + speedY * time) % sceneHeight) + sceneHeight) % sceneHeight
      for (let y = Math.max(0, Math.ceil(centreY - size)); y < Math.min(sceneHeight, centreY + size); y++) {
        for (let x = Math.max(0, Math.ceil(centreX - size)); x < Math.min(sceneWidth, centreX + size); x++) {
          if (round && (x - centreX) ** 2 + (y - centreY) ** 2 > size * size) continue
          picture[y * sceneWidth + x] = shade
        }
      }
    }
    writeText(picture, scene.text)
    yield Uint8Array.from(picture, (value) => between(16, value + (grain() + grain() - 1) * scene.grain, 235))
  }
}

/** Writes a scene as H.264 in MP4. */
export const film = async (scene: Scene, path: string): Promise<void> => {
  await using output = await Muxer.open(path, { format: "mp4" })
  const encoder = await Encoder.create(FF_ENCODER_LIBX264, {
    gopSize: 60,
    threadCount: 1,
    options: { preset: "veryfast", crf: 23 }
  })
  const stream = output.addStream(encoder)
  const chroma = Buffer.alloc((sceneWidth * sceneHeight) / 2, 118 + (scene.seed % 20))
  let pts = 0n
  for (const luma of draw(scene)) {
    using frame = Frame.fromVideoBuffer(Buffer.concat([luma, chroma]), {
      width: sceneWidth,
      height: sceneHeight,
      format: AV_PIX_FMT_YUV420P,
      timeBase: { num: 1, den: sceneFps },
      pts: pts++
    })
    for (const packet of await encoder.encodeAll(frame)) {
      await output.writePacket(packet, stream)
      packet.free()
    }
  }
  for await (const packet of encoder.flushPackets()) await output.writePacket(packet, stream)
  encoder.close()
}

/** Clips that differ in everything: place, shots, camera, things, length. */
export const variedScene = (seed: number): Scene => {
  const random = randoms(seed * 7919 + 13)
  const words = Array.from({ length: 10 }, () => String.fromCharCode(65 + Math.floor(random() * 26))).join("")
  return {
    seed,
    seconds: 9 + Math.floor(random() * 4),
    shots: 1 + Math.floor(random() * 4),
    pan: random() < 0.15 ? 0 : 0.3 + random(),
    things: 1 + Math.floor(random() * 5),
    grain: 2 + random() * 10,
    text: random() < 0.5 ? "" : words
  }
}
