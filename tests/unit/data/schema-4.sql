CREATE TABLE `about` (
  `schema_version` int(11) NOT NULL,
  `key_salt` varchar(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `about` VALUES
(4,'542e90939d962b532fcc5e255e325051');
CREATE TABLE `account` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `username` varchar(255) NOT NULL,
  `key_hash` varchar(255) NOT NULL,
  `key_tag` int(11) DEFAULT NULL,
  `profile` varchar(32) DEFAULT NULL,
  `timezone` varchar(64) NOT NULL,
  `bounce_list_id` int(11) NOT NULL,
  `is_reseller` tinyint(1) NOT NULL,
  `reseller_id` int(11) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `accountrow_username` (`username`),
  KEY `accountrow_key_tag` (`key_tag`),
  KEY `accountrow_bounce_list_id` (`bounce_list_id`),
  KEY `accountrow_reseller_id` (`reseller_id`),
  CONSTRAINT `account_ibfk_1` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`),
  CONSTRAINT `account_ibfk_2` FOREIGN KEY (`reseller_id`) REFERENCES `account` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `account` VALUES
(1,'mailgun','scrypt:128:8:1$ZZeCBJL1GKDRqjR6$31bfac4cbcbd38dd8aa3ce7ff3ef93dc7c2b836c0e9c60f1e428f81032e354b9c91f11d6aefb3d84b2bc58955b80c4aec4d08afc06b37dbe6f2cb5e170f3d99d',48341,NULL,'UTC',1,0,NULL),
(2,'another','scrypt:128:8:1$Cd6W9xFdwmaSJ292$5e597dcd7204dd12f18a6a7af99c55c1295625ac3f8323f20ed8a68c973bfb11a353d3eca9c745c0183ba0ff2f3e862cab8c9dcaae30d2c5f7716829273b7b55',34782,NULL,'UTC',6,0,NULL);
CREATE TABLE `bounce` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `bounce_list_id` int(11) NOT NULL,
  `key` varchar(640) NOT NULL,
  `email` varchar(320) NOT NULL,
  `status` varchar(32) NOT NULL,
  `code` varchar(32) NOT NULL,
  `reason` mediumtext NOT NULL,
  `type` smallint(6) NOT NULL,
  `created` bigint(20) NOT NULL,
  `reported` tinyint(1) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `bouncerow_bounce_list_id_key` (`bounce_list_id`,`key`),
  KEY `bouncerow_bounce_list_id_created_id_type` (`bounce_list_id`,`created`,`id`,`type`),
  CONSTRAINT `bounce_ibfk_1` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB AUTO_INCREMENT=13 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `bounce` VALUES
(1,1,'own@example.com','own@example.com','5.1.1','554','554 5.7.1 no',5,1328054400,0),
(2,2,'ev@mgrules.com','ev@mgrules.com','550','550','',5,1329304591,0),
(3,2,'void@guillaumeleveque.info','void@guillaumeleveque.info','550','550','5.1.1 <void@guillaumeleveque.info>: Recipient address rejected: User unknown in virtual mailbox table',5,1328477786,1),
(4,2,'mastronardif@gmail.net','mastronardif@gmail.net','550','550','5.1.1 <mastronardif@gmail.net>: Recipient address rejected: User unknown in virtual alias table',5,1326083382,1),
(5,2,'\'serobnic@mail.ru','\'serobnic@mail.ru','550','550','Message was not accepted -- invalid mailbox. Local mailbox \'serobnic@mail.ru is unavailable: user not found',5,1319194975,1),
(6,3,'\'baz@example.com','\'baz@example.com','550','550','Message was not accepted -- invalid mailbox.  Local mailbox \'baz@example.com is unavailable: user not found',5,1319194975,1),
(7,4,'seed@example.com','seed@example.com','777','777','a&b <c> é☃',0,1329303600,0),
(8,4,'seed2@example.com','seed2@example.com','550','550','',5,1329303600,0),
(9,4,'seed1@example.com','Seed1@Example.com','550','550','',5,1329303600,0),
(10,4,'other+tag@example.com','other+tag@example.com','550','550','',5,1329303600,0),
(11,4,'a/b@example.com','a/b@example.com','550','550','',5,1329303600,0);
CREATE TABLE `bounce_list` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=8 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `bounce_list` VALUES
(1),
(2),
(3),
(4),
(5),
(6),
(7);
CREATE TABLE `clock` (
  `only` smallint(6) NOT NULL,
  `frozen` bigint(20) DEFAULT NULL,
  `ahead` bigint(20) NOT NULL,
  PRIMARY KEY (`only`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
CREATE TABLE `deletion` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `bounce_list_id` int(11) NOT NULL,
  `address` varchar(64) NOT NULL,
  `query` varchar(255) NOT NULL,
  `deleted` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `deletionrow_bounce_list_id_address_query` (`bounce_list_id`,`address`,`query`),
  KEY `deletionrow_deleted` (`deleted`),
  CONSTRAINT `deletion_ibfk_1` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `deletion` VALUES
(1,1,'c1ab2e558c55746cd739524ff4165e7012a9d55f8c3eeb60a81b8d1277d0a31c','{}',1329307200);
CREATE TABLE `domain` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(255) NOT NULL,
  `account_id` int(11) NOT NULL,
  `bounce_list_id` int(11) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `domainrow_name` (`name`),
  KEY `domainrow_account_id` (`account_id`),
  KEY `domainrow_bounce_list_id` (`bounce_list_id`),
  CONSTRAINT `domain_ibfk_1` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`) ON DELETE CASCADE,
  CONSTRAINT `domain_ibfk_2` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=8 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `domain` VALUES
(1,'samples.mailgun.org',1,2),
(2,'one.example.com',1,3),
(3,'pages.example.com',1,4),
(4,'empty.example.com',1,5),
(5,'shared.example.com',1,1),
(6,'shared2.example.com',1,1),
(7,'another.example.com',2,7);
CREATE TABLE `fault` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `rule` mediumtext NOT NULL,
  `planted` varchar(64) DEFAULT NULL,
  `matched` bigint(20) NOT NULL,
  `fired` bigint(20) NOT NULL,
  `window_start` bigint(20) NOT NULL,
  `window_count` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `faultrow_planted` (`planted`)
) ENGINE=InnoDB AUTO_INCREMENT=6 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `fault` VALUES
(5,'{\"status\": 503, \"times\": 3}',NULL,1,1,0,0);
CREATE TABLE `pull` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `owner` varchar(255) NOT NULL,
  `service` varchar(32) NOT NULL,
  `finished` bigint(20) DEFAULT NULL,
  `start` bigint(20) DEFAULT NULL,
  `end` bigint(20) DEFAULT NULL,
  `rows` bigint(20) NOT NULL,
  `changed` bigint(20) NOT NULL,
  `removed` bigint(20) NOT NULL,
  `failed` bigint(20) DEFAULT NULL,
  `problem` mediumtext NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `pullrow_owner` (`owner`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
CREATE TABLE `request` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `time` bigint(20) NOT NULL,
  `dialect` varchar(32) NOT NULL,
  `operation` varchar(32) DEFAULT NULL,
  `account` mediumtext DEFAULT NULL,
  `domain` mediumtext DEFAULT NULL,
  `method` mediumtext NOT NULL,
  `path` mediumtext NOT NULL,
  `parameters` mediumtext NOT NULL,
  `status` int(11) DEFAULT NULL,
  `rows` bigint(20) DEFAULT NULL,
  `fault` int(11) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
CREATE TABLE `snapshot` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(64) NOT NULL,
  `created` bigint(20) NOT NULL,
  `accounts` bigint(20) NOT NULL,
  `domains` bigint(20) NOT NULL,
  `bounces` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `snapshotrow_name` (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
CREATE TABLE `snapshot_chunk` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `snapshot_id` int(11) NOT NULL,
  `position` int(11) NOT NULL,
  `data` mediumblob NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `snapshotchunkrow_snapshot_id_position` (`snapshot_id`,`position`),
  CONSTRAINT `snapshot_chunk_ibfk_1` FOREIGN KEY (`snapshot_id`) REFERENCES `snapshot` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
CREATE TABLE `source` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(300) NOT NULL,
  `owner` varchar(255) NOT NULL,
  `kind` varchar(32) NOT NULL,
  `settings` mediumtext NOT NULL,
  `listed` bigint(20) NOT NULL,
  `known` bigint(20) NOT NULL,
  `ignored` bigint(20) NOT NULL,
  `skipped` bigint(20) NOT NULL,
  `refused` bigint(20) NOT NULL,
  `last_event` bigint(20) DEFAULT NULL,
  `last_problem` bigint(20) DEFAULT NULL,
  `problem` mediumtext DEFAULT NULL,
  `confirm_url` mediumtext DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `sourcerow_name` (`name`)
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `source` VALUES
(1,'hook','mailgun','mailgun','{\"key_variable\": \"MAILGUN_SIGNING_KEY\"}',0,0,0,0,0,NULL,NULL,NULL,NULL);
CREATE TABLE `source_event` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `bounce_list_id` int(11) NOT NULL,
  `digest` varchar(64) NOT NULL,
  `seen` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `eventrow_bounce_list_id_digest` (`bounce_list_id`,`digest`),
  KEY `eventrow_seen` (`seen`),
  CONSTRAINT `source_event_ibfk_1` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `source_event` VALUES
(1,1,'1a95d9b804dfcf6cffc5a8b5049a5b36fa8b506d980d2f9d84d21035511e2155',1329307200);
