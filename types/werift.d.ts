// node-av names two types of werift (its optional WebRTC part, which Midnight never loads) in its declarations, and
// werift's own declarations do not type-check. Declaring the names keeps `skipLibCheck: false` for everything else.
declare module "werift" {
  export class RtpPacket {}
  export class RTCRtpCodecParameters {}
}
