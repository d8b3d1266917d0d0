const meta = "apimachinery.pkg.apis.meta.v1.ObjectMeta";
const group = "dev.isopod.v1alpha1";

/** What every object begins with. */
function object(kind: string, description: string): string {
  return `= ${group}.${kind} -- ${description}
apiVersion str 0 o -- Version of the schema this object is written in.
kind str 0 o -- What this object is.
metadata ${meta} 0 o -- Name, labels and the rest of what all objects have.`;
}

/** The types of `isopod.dev/v1alpha1`, in the notation of `parse-object-types.ts`. */
export const isopodTypes = `
* isopod.dev/v1alpha1 VPC ${group}.VPC
* isopod.dev/v1alpha1 NetworkInterface ${group}.NetworkInterface
* isopod.dev/v1alpha1 AddressClaim ${group}.AddressClaim
* isopod.dev/v1alpha1 UsageSegment ${group}.UsageSegment
* isopod.dev/v1alpha1 PriceList ${group}.PriceList
* isopod.dev/v1alpha1 Snapshot ${group}.Snapshot

${object("VPC", "A private network of its own; addresses of different VPCs may overlap.")}
spec ${group}.VPCSpec 0 r -- The network that is wanted.
= ${group}.VPCSpec
cidr str 0 r -- IPv4 range the addresses come from, such as 10.64.0.0/16.
nat bool 0 o -- Whether pods reach the outside through the host's address. False: there is no way out.

${object("NetworkInterface", "One pod's interface in a VPC, with its address.")}
spec ${group}.NetworkInterfaceSpec 0 r -- The interface that is wanted.
status ${group}.NetworkInterfaceStatus 0 o -- Where the interface is now.
= ${group}.NetworkInterfaceSpec
vpc str 0 r -- Name of the VPC.
address str 0 r -- IPv4 address, taken from the VPC's range.
macAddress str 0 r -- Hardware address the pod sees.
podName str 0 r -- Name of the pod, in the namespace of this object.
podUID str 0 r -- UID of the pod.
= ${group}.NetworkInterfaceStatus
phase str 0 o -- Pending until a node has attached the interface, then Attached.
nodeName str 0 o -- Node that has attached the interface.

${object("AddressClaim", "An address that is taken; that two objects cannot have one name is what keeps addresses unique.")}
spec ${group}.AddressClaimSpec 0 r -- The address and its holder.
= ${group}.AddressClaimSpec
vpc str 0 r -- Name of the VPC.
address str 0 r -- IPv4 address that is taken.
interface ${group}.InterfaceReference 0 r -- The network interface that holds the address.
= ${group}.InterfaceReference
namespace str 0 r -- Namespace of the network interface.
name str 0 r -- Name of the network interface.
uid str 0 r -- UID of the network interface.

${object("UsageSegment", "A span of time in which a pod was billed at one size and state.")}
spec ${group}.UsageSegmentSpec 0 r -- The span.
status ${group}.UsageSegmentStatus 0 o -- What became of the span.
= ${group}.UsageSegmentSpec
podName str 0 r -- Name of the pod, in the namespace of this object.
podUID str 0 r -- UID of the pod.
nodeName str 0 r -- Node the pod ran on.
cpuMilli i64 0 r -- Size sold, in thousandths of a vCPU.
memoryMiB i64 0 r -- Size sold, in MiB.
state str 0 r -- Running or Paused.
startMicros i64 0 r -- Start, in microseconds since 1970 (UTC).
endMicros i64 0 op -- End, in microseconds since 1970 (UTC). Absent while the span is open.
endCause str 0 o -- Why the span ended.
podLabels {}str 0 o -- Labels of the pod at the start, for reports by label.
= ${group}.UsageSegmentStatus
recorded bool 0 o -- Whether the span is in the ledger.

${object("PriceList", "Prices from a moment on, until a later list takes effect.")}
spec ${group}.PriceListSpec 0 r -- The prices.
= ${group}.PriceListSpec
currency str 0 r -- Currency code, such as EUR.
effectiveFrom time 0 r -- When the prices take effect.
vcpuSecondMicros i64 0 r -- Price of one vCPU for one second, in millionths of the currency.
gibSecondMicros i64 0 r -- Price of one GiB of memory for one second, in millionths of the currency.
pausedVcpuSecondMicros i64 0 op -- Price of one vCPU for one second of a paused instance, in millionths of the currency. Absent: 0.
pausedGibSecondMicros i64 0 op -- Price of one GiB of memory for one second of a paused instance, in millionths of the currency. Absent: the same as gibSecondMicros.

${object("Snapshot", "A running instance at one moment, with its memory and its disk, to be cloned on the node it is on.")}
spec ${group}.SnapshotSpec 0 r -- What is to be kept.
status ${group}.SnapshotStatus 0 o -- What became of it.
= ${group}.SnapshotSpec
podName str 0 r -- Name of the pod, in the namespace of this object.
= ${group}.SnapshotStatus
phase str 0 o -- Pending until the files are complete, then Ready; or Failed.
message str 0 o -- What it waits for, or why it failed.
nodeName str 0 o -- Node that has the files. Clones run there.
podUID str 0 o -- UID of the pod it is of.
sizeBytes i64 0 op -- What the files take on the node's disk.
completedAt time 0 op -- When the files were complete.
pauseMillis f64 0 op -- How long the instance stood still for it, in milliseconds.
podTemplate ${group}.PodTemplate 0 op -- What a clone is made of.
= ${group}.PodTemplate
metadata ${meta} 0 o -- Labels and annotations of the clone.
spec api.core.v1.PodSpec 0 r -- The pod that the clone is.
`;
