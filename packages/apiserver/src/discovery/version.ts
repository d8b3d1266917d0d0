/** The Kubernetes release whose API this server follows. Clients compare it; ours is told after the plus. */
export const versionInfo = Object.freeze({
  major: "1",
  minor: "35",
  gitVersion: "v1.35.0+isopod",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "none",
  compiler: "none",
  platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
});
