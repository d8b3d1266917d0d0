// Written by packages/api/scripts/schema-generator; its README says from what and how to read it.
export const kubernetesTypes = `
* v1 Binding api.core.v1.Binding
* v1 ConfigMap api.core.v1.ConfigMap
* v1 Event api.core.v1.Event
* v1 Namespace api.core.v1.Namespace
* v1 Node api.core.v1.Node
* v1 Pod api.core.v1.Pod
* v1 Secret api.core.v1.Secret
* v1 ServiceAccount api.core.v1.ServiceAccount
* authentication.k8s.io/v1 SelfSubjectReview api.authentication.v1.SelfSubjectReview
* authentication.k8s.io/v1 TokenRequest api.authentication.v1.TokenRequest
* authentication.k8s.io/v1 TokenReview api.authentication.v1.TokenReview
* authorization.k8s.io/v1 LocalSubjectAccessReview api.authorization.v1.LocalSubjectAccessReview
* authorization.k8s.io/v1 SelfSubjectAccessReview api.authorization.v1.SelfSubjectAccessReview
* authorization.k8s.io/v1 SelfSubjectRulesReview api.authorization.v1.SelfSubjectRulesReview
* authorization.k8s.io/v1 SubjectAccessReview api.authorization.v1.SubjectAccessReview
* autoscaling/v1 Scale api.autoscaling.v1.Scale
* coordination.k8s.io/v1 Lease api.coordination.v1.Lease
* events.k8s.io/v1 Event api.events.v1.Event
* policy/v1 Eviction api.policy.v1.Eviction
* v1 CreateOptions apimachinery.pkg.apis.meta.v1.CreateOptions
* v1 DeleteOptions apimachinery.pkg.apis.meta.v1.DeleteOptions
* v1 GetOptions apimachinery.pkg.apis.meta.v1.GetOptions
* v1 ListOptions apimachinery.pkg.apis.meta.v1.ListOptions
* v1 PatchOptions apimachinery.pkg.apis.meta.v1.PatchOptions
* v1 Status apimachinery.pkg.apis.meta.v1.Status
* v1 UpdateOptions apimachinery.pkg.apis.meta.v1.UpdateOptions
= api.authentication.v1.BoundObjectReference
kind str 1 o
apiVersion str 2 o
name str 3 o
uid @types.UID:str 4 o
= api.authentication.v1.SelfSubjectReview
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
status api.authentication.v1.SelfSubjectReviewStatus 2 o
= api.authentication.v1.SelfSubjectReviewStatus
userInfo api.authentication.v1.UserInfo 1 o
= api.authentication.v1.TokenRequest
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.authentication.v1.TokenRequestSpec 2 r
status api.authentication.v1.TokenRequestStatus 3 o
= api.authentication.v1.TokenRequestSpec
audiences []str 1 r list=atomic
expirationSeconds i64 4 p
boundObjectRef api.authentication.v1.BoundObjectReference 3 p
= api.authentication.v1.TokenRequestStatus
token str 1 r
expirationTimestamp time 2 r
= api.authentication.v1.TokenReview
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.authentication.v1.TokenReviewSpec 2 r
status api.authentication.v1.TokenReviewStatus 3 o
= api.authentication.v1.TokenReviewSpec
token str 1 o
audiences []str 2 o list=atomic
= api.authentication.v1.TokenReviewStatus
authenticated bool 1 o
user api.authentication.v1.UserInfo 2 o
audiences []str 4 o list=atomic
error str 3 o
= api.authentication.v1.UserInfo
username str 1 o
uid str 2 o
groups []str 3 o list=atomic
extra {}@v1.ExtraValue:<>str 4 o
= api.authorization.v1.FieldSelectorAttributes
rawSelector str 1 o
requirements []apimachinery.pkg.apis.meta.v1.FieldSelectorRequirement 2 o list=atomic
= api.authorization.v1.LabelSelectorAttributes
rawSelector str 1 o
requirements []apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement 2 o list=atomic
= api.authorization.v1.LocalSubjectAccessReview
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.authorization.v1.SubjectAccessReviewSpec 2 r
status api.authorization.v1.SubjectAccessReviewStatus 3 o
= api.authorization.v1.NonResourceAttributes
path str 1 o
verb str 2 o
= api.authorization.v1.NonResourceRule
verbs []str 1 r list=atomic
nonResourceURLs []str 2 o list=atomic
= api.authorization.v1.ResourceAttributes
namespace str 1 o
verb str 2 o
group str 3 o
version str 4 o
resource str 5 o
subresource str 6 o
name str 7 o
fieldSelector api.authorization.v1.FieldSelectorAttributes 8 op
labelSelector api.authorization.v1.LabelSelectorAttributes 9 op
= api.authorization.v1.ResourceRule
verbs []str 1 r list=atomic
apiGroups []str 2 o list=atomic
resources []str 3 o list=atomic
resourceNames []str 4 o list=atomic
= api.authorization.v1.SelfSubjectAccessReview
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.authorization.v1.SelfSubjectAccessReviewSpec 2 r
status api.authorization.v1.SubjectAccessReviewStatus 3 o
= api.authorization.v1.SelfSubjectAccessReviewSpec
resourceAttributes api.authorization.v1.ResourceAttributes 1 op
nonResourceAttributes api.authorization.v1.NonResourceAttributes 2 op
= api.authorization.v1.SelfSubjectRulesReview
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.authorization.v1.SelfSubjectRulesReviewSpec 2 r
status api.authorization.v1.SubjectRulesReviewStatus 3 o
= api.authorization.v1.SelfSubjectRulesReviewSpec
namespace str 1 o
= api.authorization.v1.SubjectAccessReview
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.authorization.v1.SubjectAccessReviewSpec 2 r
status api.authorization.v1.SubjectAccessReviewStatus 3 o
= api.authorization.v1.SubjectAccessReviewSpec
resourceAttributes api.authorization.v1.ResourceAttributes 1 op
nonResourceAttributes api.authorization.v1.NonResourceAttributes 2 op
user str 3 o
groups []str 4 o list=atomic
extra {}@v1.ExtraValue:<>str 5 o
uid str 6 o
= api.authorization.v1.SubjectAccessReviewStatus
allowed bool 1 r
denied bool 4 o
reason str 2 o
evaluationError str 3 o
= api.authorization.v1.SubjectRulesReviewStatus
resourceRules []api.authorization.v1.ResourceRule 1 r list=atomic
nonResourceRules []api.authorization.v1.NonResourceRule 2 r list=atomic
incomplete bool 3 r
evaluationError str 4 o
= api.autoscaling.v1.Scale
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.autoscaling.v1.ScaleSpec 2 o
status api.autoscaling.v1.ScaleStatus 3 o
= api.autoscaling.v1.ScaleSpec
replicas i32 1 o
= api.autoscaling.v1.ScaleStatus
replicas i32 1 r
selector str 2 o
= api.coordination.v1.Lease
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.coordination.v1.LeaseSpec 2 o
= api.coordination.v1.LeaseSpec
holderIdentity str 1 op
leaseDurationSeconds i32 2 op
acquireTime microtime 3 op
renewTime microtime 4 op
leaseTransitions i32 5 op
strategy @v1.CoordinatedLeaseStrategy:str 6 op
preferredHolder str 7 op
= api.core.v1.AWSElasticBlockStoreVolumeSource
volumeID str 1 r
fsType str 2 o
partition i32 3 o
readOnly bool 4 o
= api.core.v1.Affinity
nodeAffinity api.core.v1.NodeAffinity 1 op
podAffinity api.core.v1.PodAffinity 2 op
podAntiAffinity api.core.v1.PodAntiAffinity 3 op
= api.core.v1.AppArmorProfile
type @v1.AppArmorProfileType:str 1 r
localhostProfile str 2 op
= api.core.v1.AttachedVolume
name @v1.UniqueVolumeName:str 1 r
devicePath str 2 r
= api.core.v1.AzureDiskVolumeSource
diskName str 1 r
diskURI str 2 r
cachingMode @v1.AzureDataDiskCachingMode:str 3 op
fsType str 4 op
readOnly bool 5 op
kind @v1.AzureDataDiskKind:str 6 op
= api.core.v1.AzureFileVolumeSource
secretName str 1 r
shareName str 2 r
readOnly bool 3 o
= api.core.v1.Binding
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
target api.core.v1.ObjectReference 2 r
= api.core.v1.CSIVolumeSource
driver str 1 r
readOnly bool 2 op
fsType str 3 op
volumeAttributes {}str 4 o
nodePublishSecretRef api.core.v1.LocalObjectReference 5 op
= api.core.v1.Capabilities
add []@v1.Capability:str 1 o list=atomic
drop []@v1.Capability:str 2 o list=atomic
= api.core.v1.CephFSVolumeSource
monitors []str 1 r list=atomic
path str 2 o
user str 3 o
secretFile str 4 o
secretRef api.core.v1.LocalObjectReference 5 op
readOnly bool 6 o
= api.core.v1.CinderVolumeSource
volumeID str 1 r
fsType str 2 o
readOnly bool 3 o
secretRef api.core.v1.LocalObjectReference 4 op
= api.core.v1.ClusterTrustBundleProjection
name str 1 op
signerName str 2 op
labelSelector apimachinery.pkg.apis.meta.v1.LabelSelector 3 op
optional bool 5 op
path str 4 r
= api.core.v1.ConfigMap
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
immutable bool 4 op
data {}str 2 o
binaryData {}bytes 3 o
= api.core.v1.ConfigMapEnvSource
> api.core.v1.LocalObjectReference 1
optional bool 2 op
= api.core.v1.ConfigMapKeySelector map=atomic
> api.core.v1.LocalObjectReference 1
key str 2 r
optional bool 3 op
= api.core.v1.ConfigMapNodeConfigSource
namespace str 1 r
name str 2 r
uid @types.UID:str 3 o
resourceVersion str 4 o
kubeletConfigKey str 5 r
= api.core.v1.ConfigMapProjection
> api.core.v1.LocalObjectReference 1
items []api.core.v1.KeyToPath 2 o list=atomic
optional bool 4 op
= api.core.v1.ConfigMapVolumeSource
> api.core.v1.LocalObjectReference 1
items []api.core.v1.KeyToPath 2 o list=atomic
defaultMode i32 3 op
optional bool 4 op
= api.core.v1.Container
name str 1 r
image str 2 o
command []str 3 o list=atomic
args []str 4 o list=atomic
workingDir str 5 o
ports []api.core.v1.ContainerPort 6 o list=map keys=containerPort,protocol patch=merge mergeKey=containerPort
envFrom []api.core.v1.EnvFromSource 19 o list=atomic
env []api.core.v1.EnvVar 7 o list=map keys=name patch=merge mergeKey=name
resources api.core.v1.ResourceRequirements 8 o
resizePolicy []api.core.v1.ContainerResizePolicy 23 o list=atomic
restartPolicy @v1.ContainerRestartPolicy:str 24 op
restartPolicyRules []api.core.v1.ContainerRestartRule 25 o list=atomic
volumeMounts []api.core.v1.VolumeMount 9 o list=map keys=mountPath patch=merge mergeKey=mountPath
volumeDevices []api.core.v1.VolumeDevice 21 o list=map keys=devicePath patch=merge mergeKey=devicePath
livenessProbe api.core.v1.Probe 10 op
readinessProbe api.core.v1.Probe 11 op
startupProbe api.core.v1.Probe 22 op
lifecycle api.core.v1.Lifecycle 12 op
terminationMessagePath str 13 o
terminationMessagePolicy @v1.TerminationMessagePolicy:str 20 o
imagePullPolicy @v1.PullPolicy:str 14 o
securityContext api.core.v1.SecurityContext 15 op
stdin bool 16 o
stdinOnce bool 17 o
tty bool 18 o
= api.core.v1.ContainerExtendedResourceRequest
containerName str 1 r
resourceName str 2 r
requestName str 3 r
= api.core.v1.ContainerImage
names []str 1 - list=atomic
sizeBytes i64 2 o
= api.core.v1.ContainerPort
name str 1 o
hostPort i32 2 o
containerPort i32 3 r
protocol @v1.Protocol:str 4 o
hostIP str 5 o
= api.core.v1.ContainerResizePolicy
resourceName @v1.ResourceName:str 1 r
restartPolicy @v1.ResourceResizeRestartPolicy:str 2 r
= api.core.v1.ContainerRestartRule
action @v1.ContainerRestartRuleAction:str 1 or
exitCodes api.core.v1.ContainerRestartRuleOnExitCodes 2 op
= api.core.v1.ContainerRestartRuleOnExitCodes
operator @v1.ContainerRestartRuleOnExitCodesOperator:str 1 or
values []i32 2 o list=set
= api.core.v1.ContainerState
waiting api.core.v1.ContainerStateWaiting 1 op
running api.core.v1.ContainerStateRunning 2 op
terminated api.core.v1.ContainerStateTerminated 3 op
= api.core.v1.ContainerStateRunning
startedAt time 1 o
= api.core.v1.ContainerStateTerminated
exitCode i32 1 r
signal i32 2 o
reason str 3 o
message str 4 o
startedAt time 5 o
finishedAt time 6 o
containerID str 7 o
= api.core.v1.ContainerStateWaiting
reason str 1 o
message str 2 o
= api.core.v1.ContainerStatus
name str 1 r
state api.core.v1.ContainerState 2 o
lastState api.core.v1.ContainerState 3 o
ready bool 4 r
restartCount i32 5 r
image str 6 r
imageID str 7 r
containerID str 8 o
started bool 9 op
allocatedResources @v1.ResourceList:{}quantity 10 o
resources api.core.v1.ResourceRequirements 11 op
volumeMounts []api.core.v1.VolumeMountStatus 12 o list=map keys=mountPath patch=merge mergeKey=mountPath
user api.core.v1.ContainerUser 13 op
allocatedResourcesStatus []api.core.v1.ResourceStatus 14 o list=map keys=name patch=merge mergeKey=name
stopSignal @v1.Signal:str 15 op
= api.core.v1.ContainerUser
linux api.core.v1.LinuxContainerUser 1 op
= api.core.v1.DaemonEndpoint
Port i32 1 r
= api.core.v1.DownwardAPIProjection
items []api.core.v1.DownwardAPIVolumeFile 1 o list=atomic
= api.core.v1.DownwardAPIVolumeFile
path str 1 r
fieldRef api.core.v1.ObjectFieldSelector 2 op
resourceFieldRef api.core.v1.ResourceFieldSelector 3 op
mode i32 4 op
= api.core.v1.DownwardAPIVolumeSource
items []api.core.v1.DownwardAPIVolumeFile 1 o list=atomic
defaultMode i32 2 op
= api.core.v1.EmptyDirVolumeSource
medium @v1.StorageMedium:str 1 o
sizeLimit quantity 2 op
= api.core.v1.EnvFromSource
prefix str 1 o
configMapRef api.core.v1.ConfigMapEnvSource 2 op
secretRef api.core.v1.SecretEnvSource 3 op
= api.core.v1.EnvVar
name str 1 r
value str 2 o
valueFrom api.core.v1.EnvVarSource 3 op
= api.core.v1.EnvVarSource
fieldRef api.core.v1.ObjectFieldSelector 1 op
resourceFieldRef api.core.v1.ResourceFieldSelector 2 op
configMapKeyRef api.core.v1.ConfigMapKeySelector 3 op
secretKeyRef api.core.v1.SecretKeySelector 4 op
fileKeyRef api.core.v1.FileKeySelector 5 op
= api.core.v1.EphemeralContainer
> api.core.v1.EphemeralContainerCommon 1
targetContainerName str 2 o
= api.core.v1.EphemeralContainerCommon
name str 1 -
image str 2 o
command []str 3 o
args []str 4 o
workingDir str 5 o
ports []api.core.v1.ContainerPort 6 o patch=merge mergeKey=containerPort
envFrom []api.core.v1.EnvFromSource 19 o
env []api.core.v1.EnvVar 7 o patch=merge mergeKey=name
resources api.core.v1.ResourceRequirements 8 o
resizePolicy []api.core.v1.ContainerResizePolicy 23 o
restartPolicy @v1.ContainerRestartPolicy:str 24 op
restartPolicyRules []api.core.v1.ContainerRestartRule 25 o
volumeMounts []api.core.v1.VolumeMount 9 o patch=merge mergeKey=mountPath
volumeDevices []api.core.v1.VolumeDevice 21 o patch=merge mergeKey=devicePath
livenessProbe api.core.v1.Probe 10 op
readinessProbe api.core.v1.Probe 11 op
startupProbe api.core.v1.Probe 22 op
lifecycle api.core.v1.Lifecycle 12 op
terminationMessagePath str 13 o
terminationMessagePolicy @v1.TerminationMessagePolicy:str 20 o
imagePullPolicy @v1.PullPolicy:str 14 o
securityContext api.core.v1.SecurityContext 15 op
stdin bool 16 o
stdinOnce bool 17 o
tty bool 18 o
= api.core.v1.EphemeralVolumeSource
volumeClaimTemplate api.core.v1.PersistentVolumeClaimTemplate 1 op
= api.core.v1.Event
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 r
involvedObject api.core.v1.ObjectReference 2 r
reason str 3 o
message str 4 o
source api.core.v1.EventSource 5 o
firstTimestamp time 6 o
lastTimestamp time 7 o
count i32 8 o
type str 9 o
eventTime microtime 10 o
series api.core.v1.EventSeries 11 op
action str 12 o
related api.core.v1.ObjectReference 13 op
reportingComponent str 14 -
reportingInstance str 15 -
= api.core.v1.EventSeries
count i32 1 o
lastObservedTime microtime 2 o
= api.core.v1.EventSource
component str 1 o
host str 2 o
= api.core.v1.ExecAction
command []str 1 o list=atomic
= api.core.v1.FCVolumeSource
targetWWNs []str 1 o list=atomic
lun i32 2 op
fsType str 3 o
readOnly bool 4 o
wwids []str 5 o list=atomic
= api.core.v1.FileKeySelector map=atomic
volumeName str 1 r
path str 2 r
key str 3 r
optional bool 4 op
= api.core.v1.FlexVolumeSource
driver str 1 r
fsType str 2 o
secretRef api.core.v1.LocalObjectReference 3 op
readOnly bool 4 o
options {}str 5 o
= api.core.v1.FlockerVolumeSource
datasetName str 1 o
datasetUUID str 2 o
= api.core.v1.GCEPersistentDiskVolumeSource
pdName str 1 r
fsType str 2 o
partition i32 3 o
readOnly bool 4 o
= api.core.v1.GRPCAction
port i32 1 r
service str 2 p
= api.core.v1.GitRepoVolumeSource
repository str 1 r
revision str 2 o
directory str 3 o
= api.core.v1.GlusterfsVolumeSource
endpoints str 1 r
path str 2 r
readOnly bool 3 o
= api.core.v1.HTTPGetAction
path str 1 o
port intstr 2 r
host str 3 o
scheme @v1.URIScheme:str 4 o
httpHeaders []api.core.v1.HTTPHeader 5 o list=atomic
= api.core.v1.HTTPHeader
name str 1 r
value str 2 r
= api.core.v1.HostAlias
ip str 1 r
hostnames []str 2 o list=atomic
= api.core.v1.HostIP
ip str 1 r
= api.core.v1.HostPathVolumeSource
path str 1 r
type @v1.HostPathType:str 2 op
= api.core.v1.ISCSIVolumeSource
targetPortal str 1 r
iqn str 2 r
lun i32 3 r
iscsiInterface str 4 o
fsType str 5 o
readOnly bool 6 o
portals []str 7 o list=atomic
chapAuthDiscovery bool 8 o
chapAuthSession bool 11 o
secretRef api.core.v1.LocalObjectReference 10 op
initiatorName str 12 op
= api.core.v1.ImageVolumeSource
reference str 1 o
pullPolicy @v1.PullPolicy:str 2 o
= api.core.v1.KeyToPath
key str 1 r
path str 2 r
mode i32 3 op
= api.core.v1.Lifecycle
postStart api.core.v1.LifecycleHandler 1 op
preStop api.core.v1.LifecycleHandler 2 op
stopSignal @v1.Signal:str 3 op
= api.core.v1.LifecycleHandler
exec api.core.v1.ExecAction 1 op
httpGet api.core.v1.HTTPGetAction 2 op
tcpSocket api.core.v1.TCPSocketAction 3 op
sleep api.core.v1.SleepAction 4 op
= api.core.v1.LinuxContainerUser
uid i64 1 r
gid i64 2 r
supplementalGroups []i64 3 o list=atomic
= api.core.v1.LocalObjectReference map=atomic
name str 1 o
= api.core.v1.NFSVolumeSource
server str 1 r
path str 2 r
readOnly bool 3 o
= api.core.v1.Namespace
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.core.v1.NamespaceSpec 2 o
status api.core.v1.NamespaceStatus 3 o
= api.core.v1.NamespaceCondition
type @v1.NamespaceConditionType:str 1 r
status @v1.ConditionStatus:str 2 r
lastTransitionTime time 4 o
reason str 5 o
message str 6 o
= api.core.v1.NamespaceSpec
finalizers []@v1.FinalizerName:str 1 o list=atomic
= api.core.v1.NamespaceStatus
phase @v1.NamespacePhase:str 1 o
conditions []api.core.v1.NamespaceCondition 2 o list=map keys=type patch=merge mergeKey=type
= api.core.v1.Node
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.core.v1.NodeSpec 2 o
status api.core.v1.NodeStatus 3 o
= api.core.v1.NodeAddress
type @v1.NodeAddressType:str 1 r
address str 2 r
= api.core.v1.NodeAffinity
requiredDuringSchedulingIgnoredDuringExecution api.core.v1.NodeSelector 1 op
preferredDuringSchedulingIgnoredDuringExecution []api.core.v1.PreferredSchedulingTerm 2 o list=atomic
= api.core.v1.NodeCondition
type @v1.NodeConditionType:str 1 r
status @v1.ConditionStatus:str 2 r
lastHeartbeatTime time 3 o
lastTransitionTime time 4 o
reason str 5 o
message str 6 o
= api.core.v1.NodeConfigSource
configMap api.core.v1.ConfigMapNodeConfigSource 2 op
= api.core.v1.NodeConfigStatus
assigned api.core.v1.NodeConfigSource 1 op
active api.core.v1.NodeConfigSource 2 op
lastKnownGood api.core.v1.NodeConfigSource 3 op
error str 4 o
= api.core.v1.NodeDaemonEndpoints
kubeletEndpoint api.core.v1.DaemonEndpoint 1 o
= api.core.v1.NodeFeatures
supplementalGroupsPolicy bool 1 op
= api.core.v1.NodeRuntimeHandler
name str 1 -
features api.core.v1.NodeRuntimeHandlerFeatures 2 op
= api.core.v1.NodeRuntimeHandlerFeatures
recursiveReadOnlyMounts bool 1 op
userNamespaces bool 2 op
= api.core.v1.NodeSelector map=atomic
nodeSelectorTerms []api.core.v1.NodeSelectorTerm 1 r list=atomic
= api.core.v1.NodeSelectorRequirement
key str 1 r
operator @v1.NodeSelectorOperator:str 2 r
values []str 3 o list=atomic
= api.core.v1.NodeSelectorTerm map=atomic
matchExpressions []api.core.v1.NodeSelectorRequirement 1 o list=atomic
matchFields []api.core.v1.NodeSelectorRequirement 2 o list=atomic
= api.core.v1.NodeSpec
podCIDR str 1 o
podCIDRs []str 7 o list=set patch=merge
providerID str 3 o
unschedulable bool 4 o
taints []api.core.v1.Taint 5 o list=atomic
configSource api.core.v1.NodeConfigSource 6 op
externalID str 2 o
= api.core.v1.NodeStatus
capacity @v1.ResourceList:{}quantity 1 o
allocatable @v1.ResourceList:{}quantity 2 o
phase @v1.NodePhase:str 3 o
conditions []api.core.v1.NodeCondition 4 o list=map keys=type patch=merge mergeKey=type
addresses []api.core.v1.NodeAddress 5 o list=map keys=type patch=merge mergeKey=type
daemonEndpoints api.core.v1.NodeDaemonEndpoints 6 o
nodeInfo api.core.v1.NodeSystemInfo 7 o
images []api.core.v1.ContainerImage 8 o list=atomic
volumesInUse []@v1.UniqueVolumeName:str 9 o list=atomic
volumesAttached []api.core.v1.AttachedVolume 10 o list=atomic
config api.core.v1.NodeConfigStatus 11 op
runtimeHandlers []api.core.v1.NodeRuntimeHandler 12 o list=atomic
features api.core.v1.NodeFeatures 13 op
declaredFeatures []str 14 o list=atomic
= api.core.v1.NodeSwapStatus
capacity i64 1 op
= api.core.v1.NodeSystemInfo
machineID str 1 r
systemUUID str 2 r
bootID str 3 r
kernelVersion str 4 r
osImage str 5 r
containerRuntimeVersion str 6 r
kubeletVersion str 7 r
kubeProxyVersion str 8 r
operatingSystem str 9 r
architecture str 10 r
swap api.core.v1.NodeSwapStatus 11 op
= api.core.v1.ObjectFieldSelector map=atomic
apiVersion str 1 o
fieldPath str 2 r
= api.core.v1.ObjectReference map=atomic
kind str 1 o
namespace str 2 o
name str 3 o
uid @types.UID:str 4 o
apiVersion str 5 o
resourceVersion str 6 o
fieldPath str 7 o
= api.core.v1.PersistentVolumeClaimSpec
accessModes []@v1.PersistentVolumeAccessMode:str 1 o list=atomic
selector apimachinery.pkg.apis.meta.v1.LabelSelector 4 op
resources api.core.v1.VolumeResourceRequirements 2 o
volumeName str 3 o
storageClassName str 5 op
volumeMode @v1.PersistentVolumeMode:str 6 op
dataSource api.core.v1.TypedLocalObjectReference 7 op
dataSourceRef api.core.v1.TypedObjectReference 8 op
volumeAttributesClassName str 9 op
= api.core.v1.PersistentVolumeClaimTemplate
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.core.v1.PersistentVolumeClaimSpec 2 r
= api.core.v1.PersistentVolumeClaimVolumeSource
claimName str 1 r
readOnly bool 2 o
= api.core.v1.PhotonPersistentDiskVolumeSource
pdID str 1 r
fsType str 2 o
= api.core.v1.Pod
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
spec api.core.v1.PodSpec 2 o
status api.core.v1.PodStatus 3 o
= api.core.v1.PodAffinity
requiredDuringSchedulingIgnoredDuringExecution []api.core.v1.PodAffinityTerm 1 o list=atomic
preferredDuringSchedulingIgnoredDuringExecution []api.core.v1.WeightedPodAffinityTerm 2 o list=atomic
= api.core.v1.PodAffinityTerm
labelSelector apimachinery.pkg.apis.meta.v1.LabelSelector 1 op
namespaces []str 2 o list=atomic
topologyKey str 3 r
namespaceSelector apimachinery.pkg.apis.meta.v1.LabelSelector 4 op
matchLabelKeys []str 5 o list=atomic
mismatchLabelKeys []str 6 o list=atomic
= api.core.v1.PodAntiAffinity
requiredDuringSchedulingIgnoredDuringExecution []api.core.v1.PodAffinityTerm 1 o list=atomic
preferredDuringSchedulingIgnoredDuringExecution []api.core.v1.WeightedPodAffinityTerm 2 o list=atomic
= api.core.v1.PodCertificateProjection
signerName str 1 or
keyType str 2 or
maxExpirationSeconds i32 3 op
credentialBundlePath str 4 o
keyPath str 5 o
certificateChainPath str 6 o
userAnnotations {}str 7 o
= api.core.v1.PodCondition
type @v1.PodConditionType:str 1 r
observedGeneration i64 7 o
status @v1.ConditionStatus:str 2 r
lastProbeTime time 3 o
lastTransitionTime time 4 o
reason str 5 o
message str 6 o
= api.core.v1.PodDNSConfig
nameservers []str 1 o list=atomic
searches []str 2 o list=atomic
options []api.core.v1.PodDNSConfigOption 3 o list=atomic
= api.core.v1.PodDNSConfigOption
name str 1 o
value str 2 op
= api.core.v1.PodExtendedResourceClaimStatus
requestMappings []api.core.v1.ContainerExtendedResourceRequest 1 r list=atomic
resourceClaimName str 2 r
= api.core.v1.PodIP
ip str 1 r
= api.core.v1.PodOS
name @v1.OSName:str 1 r
= api.core.v1.PodReadinessGate
conditionType @v1.PodConditionType:str 1 r
= api.core.v1.PodResourceClaim
name str 1 r
resourceClaimName str 3 op
resourceClaimTemplateName str 4 op
= api.core.v1.PodResourceClaimStatus
name str 1 r
resourceClaimName str 2 op
= api.core.v1.PodSchedulingGate
name str 1 r
= api.core.v1.PodSecurityContext
seLinuxOptions api.core.v1.SELinuxOptions 1 op
windowsOptions api.core.v1.WindowsSecurityContextOptions 8 op
runAsUser i64 2 op
runAsGroup i64 6 op
runAsNonRoot bool 3 op
supplementalGroups []i64 4 o list=atomic
supplementalGroupsPolicy @v1.SupplementalGroupsPolicy:str 12 op
fsGroup i64 5 op
sysctls []api.core.v1.Sysctl 7 o list=atomic
fsGroupChangePolicy @v1.PodFSGroupChangePolicy:str 9 op
seccompProfile api.core.v1.SeccompProfile 10 op
appArmorProfile api.core.v1.AppArmorProfile 11 op
seLinuxChangePolicy @v1.PodSELinuxChangePolicy:str 13 op
= api.core.v1.PodSpec
volumes []api.core.v1.Volume 1 o list=map keys=name patch=merge,retainKeys mergeKey=name
initContainers []api.core.v1.Container 20 o list=map keys=name patch=merge mergeKey=name
containers []api.core.v1.Container 2 r list=map keys=name patch=merge mergeKey=name
ephemeralContainers []api.core.v1.EphemeralContainer 34 o list=map keys=name patch=merge mergeKey=name
restartPolicy @v1.RestartPolicy:str 3 o
terminationGracePeriodSeconds i64 4 op
activeDeadlineSeconds i64 5 op
dnsPolicy @v1.DNSPolicy:str 6 o
nodeSelector {}str 7 o map=atomic
serviceAccountName str 8 o
serviceAccount str 9 o
automountServiceAccountToken bool 21 op
nodeName str 10 o
hostNetwork bool 11 o
hostPID bool 12 o
hostIPC bool 13 o
shareProcessNamespace bool 27 op
securityContext api.core.v1.PodSecurityContext 14 op
imagePullSecrets []api.core.v1.LocalObjectReference 15 o list=map keys=name patch=merge mergeKey=name
hostname str 16 o
subdomain str 17 o
affinity api.core.v1.Affinity 18 op
schedulerName str 19 o
tolerations []api.core.v1.Toleration 22 o list=atomic
hostAliases []api.core.v1.HostAlias 23 o list=map keys=ip patch=merge mergeKey=ip
priorityClassName str 24 o
priority i32 25 op
dnsConfig api.core.v1.PodDNSConfig 26 op
readinessGates []api.core.v1.PodReadinessGate 28 o list=atomic
runtimeClassName str 29 op
enableServiceLinks bool 30 op
preemptionPolicy @v1.PreemptionPolicy:str 31 op
overhead @v1.ResourceList:{}quantity 32 o
topologySpreadConstraints []api.core.v1.TopologySpreadConstraint 33 o list=map keys=topologyKey,whenUnsatisfiable patch=merge mergeKey=topologyKey
setHostnameAsFQDN bool 35 op
os api.core.v1.PodOS 36 op
hostUsers bool 37 op
schedulingGates []api.core.v1.PodSchedulingGate 38 o list=map keys=name patch=merge mergeKey=name
resourceClaims []api.core.v1.PodResourceClaim 39 o list=map keys=name patch=merge,retainKeys mergeKey=name
resources api.core.v1.ResourceRequirements 40 op
hostnameOverride str 41 op
workloadRef api.core.v1.WorkloadReference 42 op
= api.core.v1.PodStatus
observedGeneration i64 17 o
phase @v1.PodPhase:str 1 o
conditions []api.core.v1.PodCondition 2 o list=map keys=type patch=merge mergeKey=type
message str 3 o
reason str 4 o
nominatedNodeName str 11 o
hostIP str 5 o
hostIPs []api.core.v1.HostIP 16 o list=atomic patch=merge mergeKey=ip
podIP str 6 o
podIPs []api.core.v1.PodIP 12 o list=map keys=ip patch=merge mergeKey=ip
startTime time 7 op
initContainerStatuses []api.core.v1.ContainerStatus 10 o list=atomic
containerStatuses []api.core.v1.ContainerStatus 8 o list=atomic
qosClass @v1.PodQOSClass:str 9 o
ephemeralContainerStatuses []api.core.v1.ContainerStatus 13 o list=atomic
resize @v1.PodResizeStatus:str 14 o
resourceClaimStatuses []api.core.v1.PodResourceClaimStatus 15 o list=map keys=name patch=merge,retainKeys mergeKey=name
extendedResourceClaimStatus api.core.v1.PodExtendedResourceClaimStatus 18 op
allocatedResources @v1.ResourceList:{}quantity 19 o
resources api.core.v1.ResourceRequirements 20 op
= api.core.v1.PortworxVolumeSource
volumeID str 1 r
fsType str 2 o
readOnly bool 3 o
= api.core.v1.PreferredSchedulingTerm
weight i32 1 r
preference api.core.v1.NodeSelectorTerm 2 r
= api.core.v1.Probe
> api.core.v1.ProbeHandler 1
initialDelaySeconds i32 2 o
timeoutSeconds i32 3 o
periodSeconds i32 4 o
successThreshold i32 5 o
failureThreshold i32 6 o
terminationGracePeriodSeconds i64 7 op
= api.core.v1.ProbeHandler
exec api.core.v1.ExecAction 1 op
httpGet api.core.v1.HTTPGetAction 2 op
tcpSocket api.core.v1.TCPSocketAction 3 op
grpc api.core.v1.GRPCAction 4 op
= api.core.v1.ProjectedVolumeSource
sources []api.core.v1.VolumeProjection 1 - list=atomic
defaultMode i32 2 op
= api.core.v1.QuobyteVolumeSource
registry str 1 r
volume str 2 r
readOnly bool 3 o
user str 4 o
group str 5 o
tenant str 6 o
= api.core.v1.RBDVolumeSource
monitors []str 1 r list=atomic
image str 2 r
fsType str 3 o
pool str 4 o
user str 5 o
keyring str 6 o
secretRef api.core.v1.LocalObjectReference 7 op
readOnly bool 8 o
= api.core.v1.ResourceClaim
name str 1 r
request str 2 o
= api.core.v1.ResourceFieldSelector map=atomic
containerName str 1 o
resource str 2 r
divisor quantity 3 o
= api.core.v1.ResourceHealth
resourceID @v1.ResourceID:str 1 r
health @v1.ResourceHealthStatus:str 2 o
= api.core.v1.ResourceRequirements
limits @v1.ResourceList:{}quantity 1 o
requests @v1.ResourceList:{}quantity 2 o
claims []api.core.v1.ResourceClaim 3 o list=map keys=name
= api.core.v1.ResourceStatus
name @v1.ResourceName:str 1 r
resources []api.core.v1.ResourceHealth 2 o list=map keys=resourceID
= api.core.v1.SELinuxOptions
user str 1 o
role str 2 o
type str 3 o
level str 4 o
= api.core.v1.ScaleIOVolumeSource
gateway str 1 r
system str 2 r
secretRef api.core.v1.LocalObjectReference 3 pr
sslEnabled bool 4 o
protectionDomain str 5 o
storagePool str 6 o
storageMode str 7 o
volumeName str 8 o
fsType str 9 o
readOnly bool 10 o
= api.core.v1.SeccompProfile
type @v1.SeccompProfileType:str 1 r
localhostProfile str 2 op
= api.core.v1.Secret
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
immutable bool 5 op
data {}bytes 2 o
stringData {}str 4 o
type @v1.SecretType:str 3 o
= api.core.v1.SecretEnvSource
> api.core.v1.LocalObjectReference 1
optional bool 2 op
= api.core.v1.SecretKeySelector map=atomic
> api.core.v1.LocalObjectReference 1
key str 2 r
optional bool 3 op
= api.core.v1.SecretProjection
> api.core.v1.LocalObjectReference 1
items []api.core.v1.KeyToPath 2 o list=atomic
optional bool 4 op
= api.core.v1.SecretVolumeSource
secretName str 1 o
items []api.core.v1.KeyToPath 2 o list=atomic
defaultMode i32 3 op
optional bool 4 op
= api.core.v1.SecurityContext
capabilities api.core.v1.Capabilities 1 op
privileged bool 2 op
seLinuxOptions api.core.v1.SELinuxOptions 3 op
windowsOptions api.core.v1.WindowsSecurityContextOptions 10 op
runAsUser i64 4 op
runAsGroup i64 8 op
runAsNonRoot bool 5 op
readOnlyRootFilesystem bool 6 op
allowPrivilegeEscalation bool 7 op
procMount @v1.ProcMountType:str 9 op
seccompProfile api.core.v1.SeccompProfile 11 op
appArmorProfile api.core.v1.AppArmorProfile 12 op
= api.core.v1.ServiceAccount
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
secrets []api.core.v1.ObjectReference 2 o list=map keys=name patch=merge mergeKey=name
imagePullSecrets []api.core.v1.LocalObjectReference 3 o list=atomic
automountServiceAccountToken bool 4 op
= api.core.v1.ServiceAccountTokenProjection
audience str 1 o
expirationSeconds i64 2 op
path str 3 r
= api.core.v1.SleepAction
seconds i64 1 r
= api.core.v1.StorageOSVolumeSource
volumeName str 1 o
volumeNamespace str 2 o
fsType str 3 o
readOnly bool 4 o
secretRef api.core.v1.LocalObjectReference 5 op
= api.core.v1.Sysctl
name str 1 r
value str 2 r
= api.core.v1.TCPSocketAction
port intstr 1 r
host str 2 o
= api.core.v1.Taint
key str 1 r
value str 2 o
effect @v1.TaintEffect:str 3 r
timeAdded time 4 op
= api.core.v1.Toleration
key str 1 o
operator @v1.TolerationOperator:str 2 o
value str 3 o
effect @v1.TaintEffect:str 4 o
tolerationSeconds i64 5 op
= api.core.v1.TopologySpreadConstraint
maxSkew i32 1 r
topologyKey str 2 r
whenUnsatisfiable @v1.UnsatisfiableConstraintAction:str 3 r
labelSelector apimachinery.pkg.apis.meta.v1.LabelSelector 4 op
minDomains i32 5 op
nodeAffinityPolicy @v1.NodeInclusionPolicy:str 6 op
nodeTaintsPolicy @v1.NodeInclusionPolicy:str 7 op
matchLabelKeys []str 8 o list=atomic
= api.core.v1.TypedLocalObjectReference map=atomic
apiGroup str 1 p
kind str 2 r
name str 3 r
= api.core.v1.TypedObjectReference
apiGroup str 1 p
kind str 2 r
name str 3 r
namespace str 4 op
= api.core.v1.Volume
name str 1 r
> api.core.v1.VolumeSource 2
= api.core.v1.VolumeDevice
name str 1 r
devicePath str 2 r
= api.core.v1.VolumeMount
name str 1 r
readOnly bool 2 o
recursiveReadOnly @v1.RecursiveReadOnlyMode:str 7 op
mountPath str 3 r
subPath str 4 o
mountPropagation @v1.MountPropagationMode:str 5 op
subPathExpr str 6 o
= api.core.v1.VolumeMountStatus
name str 1 r
mountPath str 2 r
readOnly bool 3 o
recursiveReadOnly @v1.RecursiveReadOnlyMode:str 4 op
= api.core.v1.VolumeProjection
secret api.core.v1.SecretProjection 1 op
downwardAPI api.core.v1.DownwardAPIProjection 2 op
configMap api.core.v1.ConfigMapProjection 3 op
serviceAccountToken api.core.v1.ServiceAccountTokenProjection 4 op
clusterTrustBundle api.core.v1.ClusterTrustBundleProjection 5 op
podCertificate api.core.v1.PodCertificateProjection 6 op
= api.core.v1.VolumeResourceRequirements
limits @v1.ResourceList:{}quantity 1 o
requests @v1.ResourceList:{}quantity 2 o
= api.core.v1.VolumeSource
hostPath api.core.v1.HostPathVolumeSource 1 op
emptyDir api.core.v1.EmptyDirVolumeSource 2 op
gcePersistentDisk api.core.v1.GCEPersistentDiskVolumeSource 3 op
awsElasticBlockStore api.core.v1.AWSElasticBlockStoreVolumeSource 4 op
gitRepo api.core.v1.GitRepoVolumeSource 5 op
secret api.core.v1.SecretVolumeSource 6 op
nfs api.core.v1.NFSVolumeSource 7 op
iscsi api.core.v1.ISCSIVolumeSource 8 op
glusterfs api.core.v1.GlusterfsVolumeSource 9 op
persistentVolumeClaim api.core.v1.PersistentVolumeClaimVolumeSource 10 op
rbd api.core.v1.RBDVolumeSource 11 op
flexVolume api.core.v1.FlexVolumeSource 12 op
cinder api.core.v1.CinderVolumeSource 13 op
cephfs api.core.v1.CephFSVolumeSource 14 op
flocker api.core.v1.FlockerVolumeSource 15 op
downwardAPI api.core.v1.DownwardAPIVolumeSource 16 op
fc api.core.v1.FCVolumeSource 17 op
azureFile api.core.v1.AzureFileVolumeSource 18 op
configMap api.core.v1.ConfigMapVolumeSource 19 op
vsphereVolume api.core.v1.VsphereVirtualDiskVolumeSource 20 op
quobyte api.core.v1.QuobyteVolumeSource 21 op
azureDisk api.core.v1.AzureDiskVolumeSource 22 op
photonPersistentDisk api.core.v1.PhotonPersistentDiskVolumeSource 23 op
projected api.core.v1.ProjectedVolumeSource 26 op
portworxVolume api.core.v1.PortworxVolumeSource 24 op
scaleIO api.core.v1.ScaleIOVolumeSource 25 op
storageos api.core.v1.StorageOSVolumeSource 27 op
csi api.core.v1.CSIVolumeSource 28 op
ephemeral api.core.v1.EphemeralVolumeSource 29 op
image api.core.v1.ImageVolumeSource 30 op
= api.core.v1.VsphereVirtualDiskVolumeSource
volumePath str 1 r
fsType str 2 o
storagePolicyName str 3 o
storagePolicyID str 4 o
= api.core.v1.WeightedPodAffinityTerm
weight i32 1 r
podAffinityTerm api.core.v1.PodAffinityTerm 2 r
= api.core.v1.WindowsSecurityContextOptions
gmsaCredentialSpecName str 1 op
gmsaCredentialSpec str 2 op
runAsUserName str 3 op
hostProcess bool 4 op
= api.core.v1.WorkloadReference
name str 1 r
podGroup str 2 r
podGroupReplicaKey str 3 o
= api.events.v1.Event
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 -
eventTime microtime 2 r
series api.events.v1.EventSeries 3 op
reportingController str 4 o
reportingInstance str 5 o
action str 6 o
reason str 7 o
regarding api.core.v1.ObjectReference 8 o
related api.core.v1.ObjectReference 9 op
note str 10 o
type str 11 o
deprecatedSource api.core.v1.EventSource 12 o
deprecatedFirstTimestamp time 13 o
deprecatedLastTimestamp time 14 o
deprecatedCount i32 15 o
= api.events.v1.EventSeries
count i32 1 r
lastObservedTime microtime 2 r
= api.policy.v1.Eviction
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ObjectMeta 1 o
deleteOptions apimachinery.pkg.apis.meta.v1.DeleteOptions 2 op
= apimachinery.pkg.apis.meta.v1.CreateOptions
kind str 0 o
apiVersion str 0 o
dryRun []str 1 o
fieldManager str 3 o
fieldValidation str 4 o
= apimachinery.pkg.apis.meta.v1.DeleteOptions
kind str 0 o
apiVersion str 0 o
gracePeriodSeconds i64 1 op
preconditions apimachinery.pkg.apis.meta.v1.Preconditions 2 op
orphanDependents bool 3 op
propagationPolicy @v1.DeletionPropagation:str 4 op
dryRun []str 5 o list=atomic
ignoreStoreReadErrorWithClusterBreakingPotential bool 6 op
= apimachinery.pkg.apis.meta.v1.FieldSelectorRequirement
key str 1 r
operator @v1.FieldSelectorOperator:str 2 r
values []str 3 o list=atomic
= apimachinery.pkg.apis.meta.v1.GetOptions
kind str 0 o
apiVersion str 0 o
resourceVersion str 1 o
= apimachinery.pkg.apis.meta.v1.LabelSelector map=atomic
matchLabels {}str 1 o
matchExpressions []apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement 2 o list=atomic
= apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement
key str 1 r
operator @v1.LabelSelectorOperator:str 2 r
values []str 3 o list=atomic
= apimachinery.pkg.apis.meta.v1.ListMeta
selfLink str 1 o
resourceVersion str 2 o
continue str 3 o
remainingItemCount i64 4 op
= apimachinery.pkg.apis.meta.v1.ListOptions
kind str 0 o
apiVersion str 0 o
labelSelector str 1 o
fieldSelector str 2 o
watch bool 3 o
allowWatchBookmarks bool 9 o
resourceVersion str 4 o
resourceVersionMatch @v1.ResourceVersionMatch:str 10 o
timeoutSeconds i64 5 op
limit i64 7 o
continue str 8 o
sendInitialEvents bool 11 op
= apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry
manager str 1 o
operation @v1.ManagedFieldsOperationType:str 2 o
apiVersion str 3 o
time time 4 op
fieldsType str 6 o
fieldsV1 fields 7 op
subresource str 8 o
= apimachinery.pkg.apis.meta.v1.ObjectMeta
name str 1 o
generateName str 2 o
namespace str 3 o
selfLink str 4 o
uid @types.UID:str 5 o
resourceVersion str 6 o
generation i64 7 o
creationTimestamp time 8 oz
deletionTimestamp time 9 op
deletionGracePeriodSeconds i64 10 op
labels {}str 11 o
annotations {}str 12 o
ownerReferences []apimachinery.pkg.apis.meta.v1.OwnerReference 13 o list=map keys=uid patch=merge mergeKey=uid
finalizers []str 14 o list=set patch=merge
managedFields []apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry 17 o list=atomic
= apimachinery.pkg.apis.meta.v1.OwnerReference map=atomic
apiVersion str 5 r
kind str 1 r
name str 3 r
uid @types.UID:str 4 r
controller bool 6 op
blockOwnerDeletion bool 7 op
= apimachinery.pkg.apis.meta.v1.PatchOptions
kind str 0 o
apiVersion str 0 o
dryRun []str 1 o
force bool 2 op
fieldManager str 3 o
fieldValidation str 4 o
= apimachinery.pkg.apis.meta.v1.Preconditions
uid @types.UID:str 1 op
resourceVersion str 2 op
= apimachinery.pkg.apis.meta.v1.Status
kind str 0 o
apiVersion str 0 o
metadata apimachinery.pkg.apis.meta.v1.ListMeta 1 o
status str 2 o
message str 3 o
reason @v1.StatusReason:str 4 o
details apimachinery.pkg.apis.meta.v1.StatusDetails 5 op
code i32 6 o
= apimachinery.pkg.apis.meta.v1.StatusCause
reason @v1.CauseType:str 1 o
message str 2 o
field str 3 o
= apimachinery.pkg.apis.meta.v1.StatusDetails
name str 1 o
group str 2 o
kind str 3 o
uid @types.UID:str 6 o
causes []apimachinery.pkg.apis.meta.v1.StatusCause 4 o list=atomic
retryAfterSeconds i32 5 o
= apimachinery.pkg.apis.meta.v1.UpdateOptions
kind str 0 o
apiVersion str 0 o
dryRun []str 1 o
fieldManager str 2 o
fieldValidation str 3 o
`;
