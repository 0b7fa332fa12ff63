// The child program loads this file too, so it imports nothing.

/** Bounds on the two pictures that go with a video, in bytes of JPEG. */
export const largestThumbnail = 48 * 1024
export const largestContactSheet = 256 * 1024

/** A picture that stands for the video, and sixteen spread over it. */
export const pictureKinds = ["thumbnail", "contact-sheet"] as const
export type PictureKind = (typeof pictureKinds)[number]

/** How long a picture's URL works: it is given out anew with every view of a submission. */
export const pictureUrlMinutes = 15
