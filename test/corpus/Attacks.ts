import { deflateSync } from "node:zlib"
import { box, ftyp, full, itself, movieHeader, mp4, sound, u16, u32, u8, visual } from "./Boxes.ts"
import { element, header, matroska, text, unsigned, vp8Head } from "./Ebml.ts"
import { changingH264, greyH264 } from "./GreyH264.ts"

/** What the hostile files point at: a file that no video may open, and a port that none may call. */
export interface Bait {
  readonly secret: string
  readonly port: number
}

const small = greyH264(320, 240, 30)
const one = greyH264(320, 240, 1)
const repeated = (bytes: Buffer, times: number) => Buffer.concat(Array.from({ length: times }, () => bytes))

/** Texts and headers of other formats, under a name and with a beginning that their demuxers know. */
const pointers = ({ port, secret }: Bait): Record<string, string> => {
  const url = `http://127.0.0.1:${port}/canary.ts`
  const hls = (target: string) => `#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n${target}\n#EXT-X-ENDLIST\n`
  return {
    "playlist-of-a-file.m3u8": hls(`file://${secret}`),
    "playlist-of-a-url.m3u8": hls(url),
    "playlist-as-video.mp4": hls(`concat:${secret}|${url}`),
    "playlist-of-a-key.m3u8": `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="file://${secret}"\n#EXTINF:5,\n${url}\n`,
    "concat.ffconcat": `ffconcat version 1.0\nfile '${secret}'\nfile '${url}'\n`,
    "concat-as-video.webm": `ffconcat version 1.0\nfile ${secret}\n`,
    "dash.mpd": `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet `
      + `mimeType="video/mp4"><Representation id="1"><BaseURL>${url}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
    "session.sdp": `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video ${port} RTP/AVP 96\n`,
    "subtitles.srt": `1\n00:00:00,000 --> 00:00:05,000\n<img src="file://${secret}">\n`,
    "metadata.txt": `;FFMETADATA1\ntitle=${secret}\n`,
    "images.mp4": "\x89PNG\r\n\x1a\n",
    "flash.mp4": "FLV\x01\x05\0\0\0\x09\0\0\0\0",
    "avi.mp4": "RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrlavih",
    "ogg.webm": "OggS\0\x02",
    "script.avs": `AVISource("${secret}")\n`,
    "bluray.mp4": `MPLS0200\n${secret}`
  }
}

const dataAt = (kind: string, location: string) => {
  const bytes = Buffer.from(`${location}\0`, "utf8")
  return kind === "url "
    ? full("url ", 0, bytes)
    : full("alis", 0, Buffer.alloc(150), u16(2, bytes.length), bytes, u16(0xffff))
}

const movies = ({ port, secret }: Bait): Record<string, () => Buffer> => {
  const elsewhere = (kind: string, location: string) =>
    mp4({ ...small, dref: full("dref", 0, u32(1), dataAt(kind, location)) })
  const reference = (location: string) => {
    const bytes = Buffer.from(`${location}\0`, "utf8")
    const rdrf = full("rdrf", 0, Buffer.from("url "), u32(bytes.length), bytes)
    return Buffer.concat([ftyp, box("moov", box("rmra", box("rmda", rdrf)))])
  }
  const edits = (times: number) => full("elst", 0, u32(times), repeated(u32(600, 0, 0x10000), times))
  const compressed = (declared: number, bytes: number) => {
    const packed = deflateSync(Buffer.alloc(bytes), { level: 9 })
    return Buffer.concat([
      ftyp,
      box("moov", box("cmov", box("dcom", Buffer.from("zlib")), box("cmvd", u32(declared), packed)))
    ])
  }
  const nested = (depth: number) => {
    let inner = box("free")
    for (let at = 0; at < depth; at++) inner = box(at % 2 === 0 ? "udta" : "trak", inner)
    return Buffer.concat([ftyp, box("moov", inner)])
  }
  const pcm = (channels: number) => ({
    ...one,
    handler: "soun",
    samples: [Buffer.alloc(2 * channels * 480)],
    sampleEntry: sound("sowt", channels, 16, 48_000)
  })
  return {
    "data-in-a-file.mov": () => elsewhere("url ", `file://${secret}`),
    "data-at-a-url.mov": () => elsewhere("url ", `http://127.0.0.1:${port}/data`),
    "data-by-alias.mov": () => elsewhere("alis", secret),
    "reference-movie.mov": () => reference(`file://${secret}`),
    "reference-movie-url.mov": () => reference(`http://127.0.0.1:${port}/movie`),
    "edit-list-of-20000.mp4": () => mp4({ ...small, edits: edits(20_000) }),
    "edit-list-without-end.mp4": () => mp4({ ...small, edits: full("elst", 0, u32(0xffffffff), u32(600, 0, 0x10000)) }),
    "edit-list-backwards.mp4": () =>
      mp4({ ...small, edits: full("elst", 0, u32(2, 600, 0x80000000, 0x10000, 600, 600, 0)) }),
    "samples-2-to-the-32.mp4": () => mp4({ ...one, stsz: full("stsz", 0, u32(1, 0xffffffff)) }),
    "sizes-2-to-the-31.mp4": () => mp4({ ...one, stsz: full("stsz", 0, u32(0, 0x7fffffff, 1)) }),
    "chunks-2-to-the-30.mp4": () => mp4({ ...one, stco: () => full("stco", 0, u32(0x3fffffff, 32)) }),
    "times-2-to-the-32.mp4": () => mp4({ ...one, stts: full("stts", 0, u32(1, 0xffffffff, 1)) }),
    "a-sample-of-a-gigabyte.mp4": () => mp4({ ...one, stsz: full("stsz", 0, u32(0, 1, 1_000_000_000)) }),
    "samples-beyond-the-end.mp4": () => mp4({ ...small, stco: () => full("stco", 0, u32(1, 0xfffffff0)) }),
    "samples-of-one-byte.mp4": () =>
      mp4({
        ...one,
        samples: [Buffer.alloc(500_000, 1)],
        stts: full("stts", 0, u32(1, 500_000, 1)),
        stsz: full("stsz", 0, u32(1, 500_000)),
        duration: 1_200
      }),
    "tracks-20000.mp4": () =>
      Buffer.concat([ftyp, box("moov", movieHeader(600, 600), repeated(box("trak", box("mdia")), 20_000))]),
    "whole-tracks-1000.mp4": () => {
      const bytes = mp4(one)
      const at = bytes.indexOf("trak") - 4
      return mp4({ ...one, beside: repeated(bytes.subarray(at), 1_000) })
    },
    "index-bomb-honest.mov": () => compressed(400_000_000, 400_000_000),
    "index-bomb-2-to-the-32.mov": () => compressed(0xfffffff0, 1_000_000),
    "boxes-5000-deep.mp4": () => nested(5_000),
    "timescale-zero.mp4": () => mp4({ ...small, timescale: 0 }),
    "timescale-2-to-the-32.mp4": () => mp4({ ...small, timescale: 0xffffffff }),
    "durations-zero.mp4": () => mp4({ ...small, stts: full("stts", 0, u32(1, 30, 0)), duration: 0 }),
    "durations-2-to-the-31.mp4": () => mp4({ ...small, stts: full("stts", 0, u32(1, 30, 0x7fffffff)) }),
    "duration-2-to-the-32.mp4": () => mp4({ ...small, duration: 0xfffffffe }),
    "times-negative.mp4": () =>
      mp4({ ...small, ctts: full("ctts", 0x1000000, u32(2, 10, 0x80000000, 20, 0x7fffffff)) }),
    "sides-65535.mp4": () =>
      mp4({ ...one, width: 65_535, height: 65_535, sampleEntry: visual("avc1", 65_535, 65_535) }),
    "sides-change.mp4": () =>
      mp4(changingH264(Array.from({ length: 60 }, (_, at) => [16 * (1 + (at * 7) % 60), 16 * (1 + (at * 11) % 40)]))),
    "sides-grow-to-16k.mp4": () => mp4(changingH264([[320, 240], [2_944, 2_944], [16_000, 16_000], [320, 240]])),
    "sides-zero.mp4": () => mp4({ ...one, width: 0, height: 0, sampleEntry: visual("avc1", 0, 0) }),
    "channels-255.mov": () => mp4(pcm(255)),
    "channels-65535.mov": () => mp4(pcm(65_535)),
    "codec-of-another-age.mov": () =>
      mp4({ ...one, samples: [Buffer.alloc(2_000, 0xaa)], sampleEntry: visual("cvid", 640, 480) }),
    "codec-png.mov": () => mp4({ ...one, samples: [Buffer.alloc(2_000, 0xaa)], sampleEntry: visual("png ", 640, 480) }),
    "nowhere.mp4": () => mp4({ ...one, dref: itself, stsz: full("stsz", 0, u32(0, 0)), stts: full("stts", 0, u32(0)) }),
    "size-of-a-box-lies.mp4": () => Buffer.concat([ftyp, u32(0xffffffff), Buffer.from("moov"), movieHeader(600, 600)]),
    "size-of-a-box-64.mp4": () => Buffer.concat([ftyp, u32(1), Buffer.from("moov"), u32(0x7fffffff, 0xffffffff)])
  }
}

const films = (): Record<string, () => Buffer> => {
  const film = {
    codec: "V_VP8",
    width: 640,
    height: 360,
    packets: [[0, vp8Head(640, 360)], [500, vp8Head(640, 360)]]
  } as const
  const packed = (bytes: number) => deflateSync(Buffer.alloc(bytes), { level: 9 })
  const zlib = element(
    0x6d80,
    element(0x6240, Buffer.concat([unsigned(0x5031, 0), unsigned(0x5032, 1), element(0x5034, unsigned(0x4254, 0))]))
  )
  const attached = (name: string, bytes: Buffer) =>
    element(
      0x1941a469,
      element(
        0x61a7,
        Buffer.concat([text(0x466e, name), text(0x4660, "font/ttf"), unsigned(0x46ae, 7), element(0x465c, bytes)])
      )
    )
  return {
    "packet-bomb.mkv": () =>
      matroska({ ...film, inside: zlib, packets: [[0, packed(300_000_000)], [40, packed(9_000_000)]] }),
    "attachment-with-a-path.mkv": () =>
      matroska({ ...film, beside: attached("../../../../tmp/midnight-attached", u8(1, 2, 3)) }),
    "attachments-5000.mkv": () => matroska({ ...film, beside: repeated(attached("a\0b", u8(1)), 5_000) }),
    "element-without-end.mkv": () =>
      Buffer.concat([header, element(0x18538067, element(0x1549a966, u8(1), 0x00fffffffffffffen), 99n)]),
    "elements-deep.mkv": () => {
      let inner = unsigned(0x45a3, 1)
      for (let at = 0; at < 5_000; at++) inner = element(0x67c8, inner)
      return matroska({ ...film, beside: element(0x1254c367, element(0x7373, inner)) })
    },
    "seconds-not-a-number.mkv": () => matroska({ ...film, seconds: Number.NaN }),
    "seconds-infinite.mkv": () => matroska({ ...film, seconds: Number.POSITIVE_INFINITY }),
    "seconds-negative.mkv": () => matroska({ ...film, seconds: -1e300 }),
    "times-backwards.mkv": () =>
      matroska({ ...film, packets: [[0, vp8Head(640, 360)], [-32_768, vp8Head(640, 360)], [32_767, vp8Head(64, 64)]] }),
    "vp8-of-16383.webm": () =>
      matroska({ ...film, packets: [[0, vp8Head(16_383, 16_383)], [40, vp8Head(16_383, 16_383)]] }),
    "vp8-changes-its-size.webm": () =>
      matroska({
        ...film,
        packets: Array.from({ length: 200 }, (_, at) => [at * 10, vp8Head(16 + 16 * (at % 150), 16 + at)])
      })
  }
}

/** Files made to break the engine rather than to be watched, by name. */
export const attacks = (bait: Bait): Record<string, () => Buffer> => ({
  ...Object.fromEntries(
    Object.entries(pointers(bait)).map(([name, lines]) => [name, () => Buffer.from(lines, "latin1")])
  ),
  ...movies(bait),
  ...films()
})
