CREATE TABLE `about` (
  `schema_version` int(11) NOT NULL,
  `key_salt` varchar(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `about` VALUES
(2,'4cfebd54db39e2d3120c4a2387fe743e');
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
(1,'mailgun','scrypt:128:8:1$Vubys5LlIdAYbHIA$afb127fc9ecb8fe693a8bfce07bb700b14d089e05097af15a051cc375a0c03fef0c06db88a5aa355b019aea72e83c8afac47a1213a1ff63e84390d3e9e3759a5',61751,NULL,'UTC',1,0,NULL),
(2,'another','scrypt:128:8:1$T4Li5iF8QAf3kpQG$1341f182e024a36ed88ae6e793145c7ce5dd2156f69ad945f880ab6b2d5b4e2434a6b7313e683ffd4f9075ec845e13f3e97c37d88903fd3aac40590f3ffbe655',49044,NULL,'UTC',6,0,NULL);
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
) ENGINE=InnoDB AUTO_INCREMENT=12 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
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
) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `request` VALUES
(1,1329307200,'sendgrid.direct',NULL,NULL,NULL,'GET','/api/x','{}',404,NULL,NULL);
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
