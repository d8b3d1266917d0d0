import { isNotFound } from "@isopod/api";

/** The answer, or undefined when the object (or its namespace) does not exist. */
export async function ignoreNotFound<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
