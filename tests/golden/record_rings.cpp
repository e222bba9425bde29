// Writes the rings of C++ bRPC 71871ee (1.17+), which test_rings.py compares with ours:
//
//   g++ -O2 -I BRPC/src record_rings.cpp BRPC/src/butil/third_party/murmurhash3/murmurhash3.cpp \
//       -lcrypto -o record_rings && ./record_rings vectors
//
// The hashes are bRPC's own files. The loops, the text of a point, and the order of two nodes are
// those of src/brpc/policy/consistent_hashing_load_balancer.{h,cpp} and src/butil/endpoint.h, which
// can't be linked without all of bRPC.
#include <arpa/inet.h>
#include <openssl/md5.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "butil/third_party/murmurhash3/murmurhash3.h"

struct Node {
    uint32_t hash;
    uint32_t ip;  // As EndPoint.ip: s_addr, in the byte order of the network.
    int port;
    uint16_t server;
    bool operator<(const Node& rhs) const {
        if (hash != rhs.hash) { return hash < rhs.hash; }
        return ip != rhs.ip ? ip < rhs.ip : port < rhs.port;
    }
};

static uint32_t Word(const unsigned char* digest, int j) {
    return ((uint32_t)digest[3 + j * 4] << 24) | ((uint32_t)digest[2 + j * 4] << 16) |
           ((uint32_t)digest[1 + j * 4] << 8) | digest[j * 4];
}

int main(int, char** argv) {
    // Those of test/brpc_load_balancer_unittest.cpp, and a few more; argv[1]: where to write.
    std::vector<std::string> servers = {
        "10.92.115.19:8833", "10.42.108.25:8833", "10.36.150.32:8833", "10.92.149.48:8833",
        "10.42.122.201:8833", "[2408:871a:2100:3:0:ff:b025:348d]:8833", "unix:test.sock"};
    for (int i = 0; i < 93; ++i) {
        char text[64];
        snprintf(text, sizeof(text), "192.168.%d.%d:%d", i % 7, i, 8000 + i);
        servers.push_back(text);
    }
    const char* names[] = {"c_murmurhash", "c_md5", "c_ketama"};
    for (int kind = 0; kind < 3; ++kind) {
        std::vector<Node> ring;
        for (size_t s = 0; s < servers.size(); ++s) {
            Node node = {0, 0, 0, (uint16_t)s};
            char ip[64] = {0};
            if (sscanf(servers[s].c_str(), "%63[0-9.]:%d", ip, &node.port) == 2) {
                node.ip = inet_addr(ip);
            }
            const size_t replicas = 100;
            const size_t texts = kind == 2 ? replicas / 4 : replicas;
            for (size_t i = 0; i < texts; ++i) {
                char host[256];
                int len = snprintf(host, sizeof(host), "%s-%lu", servers[s].c_str(), i);
                unsigned char digest[MD5_DIGEST_LENGTH];
                MD5((const unsigned char*)host, len, digest);
                if (kind == 0) {
                    butil::MurmurHash3_x86_32(host, len, 0, &node.hash);
                    ring.push_back(node);
                }
                for (int j = 0; kind > 0 && j < (kind == 2 ? 4 : 1); ++j) {
                    node.hash = Word(digest, j);
                    ring.push_back(node);
                }
            }
        }
        std::sort(ring.begin(), ring.end());
        FILE* file = fopen((std::string(argv[1]) + "/ring_" + names[kind] + ".bin").c_str(), "wb");
        for (const Node& node : ring) {
            fwrite(&node.hash, 4, 1, file);
            fwrite(&node.server, 2, 1, file);
        }
        fclose(file);
    }
    return 0;
}
