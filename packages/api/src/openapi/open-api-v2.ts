/** The content type of {@link openApiV2Minimal}. */
export const openApiV2MediaType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/**
 * The answer to `/openapi/v2`: an empty document in protobuf (gnostic's `openapi.v2.Document`). kubectl up to 1.28
 * refuses to apply anything without one, and is content with this; only its `explain` would want more.
 */
export function openApiV2Minimal(): Uint8Array {
  const field = (number: number, content: Uint8Array): Uint8Array =>
    // Wire type 2, and all lengths are below 128.
    Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), content]);
  const info = Buffer.concat([field(1, Buffer.from("Isopod")), field(2, Buffer.from("unversioned"))]);
  const nothing = Buffer.alloc(0);
  return Buffer.concat([field(1, Buffer.from("2.0")), field(2, info), field(8, nothing), field(9, nothing)]);
}
