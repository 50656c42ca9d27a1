// SPDX-License-Identifier: MIT
// What tests need on a chain: a token of each standard that anybody may mint, and a wallet that is a contract (EIP-1271).
// Compiled into src/dagi/testing/contracts.json by `node compile.mjs` (npm install solc@0.8.37), so that no test needs a compiler.
pragma solidity 0.8.37;

contract Coin {
    uint8 public constant decimals = 18;
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

contract Picture {
    mapping(uint256 => address) public ownerOf;
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 id) external {
        require(ownerOf[id] == address(0), "taken");
        ownerOf[id] = to;
        balanceOf[to] += 1;
    }

    function transferFrom(address from, address to, uint256 id) external {
        require(ownerOf[id] == from, "not theirs");
        ownerOf[id] = to;
        balanceOf[from] -= 1;
        balanceOf[to] += 1;
    }
}

contract Badges {
    mapping(uint256 => mapping(address => uint256)) private held;

    function balanceOf(address owner, uint256 id) public view returns (uint256) {
        return held[id][owner];
    }

    function balanceOfBatch(address[] calldata owners, uint256[] calldata ids) external view returns (uint256[] memory found) {
        require(owners.length == ids.length, "lengths");
        found = new uint256[](owners.length);
        for (uint256 i = 0; i < owners.length; i++) found[i] = held[ids[i]][owners[i]];
    }

    function mint(address to, uint256 id, uint256 amount) external {
        held[id][to] += amount;
    }

    function take(address from, uint256 id, uint256 amount) external {
        held[id][from] -= amount;
    }
}

contract Wallet {
    address public owner;

    constructor(address who) {
        owner = who;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 65) return 0xffffffff;
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        address signer = ecrecover(hash, uint8(signature[64]), r, s);
        return signer != address(0) && signer == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}
