// node-av names two types of werift (its optional WebRTC part, which Midnight never loads) in its declarations, and
// werift's own declarations do not type-check. `paths` in tsconfig.json points here instead, which keeps
// `skipLibCheck: false` for everything else.
export class RtpPacket {}
export class RTCRtpCodecParameters {}
