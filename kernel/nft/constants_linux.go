package nft

import "golang.org/x/sys/unix"

// What golang.org/x/sys/unix lacks of linux/netfilter/nf_tables.h.
const (
	tableHandle   = 4
	tableUserdata = 6

	chainFlags    = 10
	chainUserdata = 12

	setDescConcat  = 2
	setFieldLen    = 1
	setExpr        = 17
	setExpressions = 18
	setCount       = 20 // NFTA_SET_COUNT, from Linux 6.16 on

	objUserdata = 8

	flowtableTable = 1
	flowtableName  = 2
	flowtableHook  = 3
	flowtableFlags = 7

	flowtableHookNum      = 1
	flowtableHookPriority = 2
	flowtableHookDevices  = 3

	deviceName = 1 // NFTA_DEVICE_NAME

	flowtableHardware = 0x1 // NFT_FLOWTABLE_HW_OFFLOAD
	flowtableCounter  = 0x2 // NFT_FLOWTABLE_COUNTER

	flowTableName = 1 // NFTA_FLOW_TABLE_NAME, of expression flow_offload

	bitwiseOp   = 6
	bitwiseData = 7
	bitwiseBool = 0
	bitwiseRsh  = 2

	dynsetDelete = 2 // NFT_DYNSET_OP_DELETE

	// Of expression socket (NFTA_SOCKET_*); socketCgroup is NFT_SOCKET_CGROUPV2.
	socketKey    = 1
	socketDreg   = 2
	socketLevel  = 3
	socketCgroup = 3

	metaTime = 30 // NFT_META_TIME_NS

	setElemKeyEnd = 10 // NFTA_SET_ELEM_KEY_END
	setElemExpr   = unix.NFTA_SET_ELEM_EXPR

	// setKnownFlags are NFT_SET_INTERVAL, NFT_SET_MAP and NFT_SET_CONCAT, the flags that pbr's sets
	// have.
	setAnonymous  = 0x1
	setInterval   = 0x4
	setMap        = 0x8
	setConcat     = 0x80
	setKnownFlags = setInterval | setMap | setConcat
	// setDynamic are NFT_SET_TIMEOUT and NFT_SET_EVAL, which a map that packets fill has.
	setDynamic = setTimeout | 0x20
	// setTimeout is NFT_SET_TIMEOUT, which a run-time set has without the other.
	setTimeout = 0x10

	// verdictType is the data type of verdict maps (NFT_DATA_VERDICT), verdictLen the length that
	// the kernel gives it.
	verdictType = 0xffffff00
	verdictLen  = 16
)

// libnftnl's user data (include/libnftnl/udata.h): what nft keeps with objects and the kernel does
// not look at.
const (
	udataRuleComment = 0
	udataObjComment  = 0

	udataSetKeyByteOrder  = 0
	udataSetDataByteOrder = 1
	udataSetKeyTypeof     = 3
	udataSetDataTypeof    = 4
	udataSetDataInterval  = 6
	udataSetComment       = 7
	// The parts of a typeof, and of a numgen in it.
	udataTypeofExpr   = 0
	udataTypeofData   = 1
	udataMetaKey      = 0
	udataNumgenType   = 0
	udataNumgenMod    = 1
	udataNumgenOffset = 2
	// nft's numbers of expressions (enum expr_types in its include/expression.h).
	exprVerdict = 1
	exprConcat  = 13
	exprNumgen  = 23
	exprMeta    = 9
	// udataByteOrder values are nft's enum byteorder; nft marks what the kernel holds in its own
	// order.
	byteOrderNone = 0
	byteOrderHost = 1
	byteOrderBig  = 2

	udataElemComment      = 0
	udataElemFlags        = 1
	udataElemIntervalOpen = 1
)

// arphrdEther is the device type that link layer matches need (ARPHRD_ETHER, linux/if_arp.h).
const arphrdEther = 1

// familyInet is NFPROTO_INET (linux/netfilter.h).
const familyInet = 1
